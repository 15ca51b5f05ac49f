"""AWS's two VSS documents, as far as Systems Manager's front end and its agent know them.

Names, types, defaults and ranges of the parameters are those of the documents; what their
PowerShell does is windows.py's, since there is no PowerShell and no VSS here. Pure.
"""

from __future__ import annotations

from typing import Any

CREATE, INSTALL = "AWSEC2-CreateVssSnapshot", "AWSEC2-VssInstallAndSnapshot"
SNAPSHOT_STEP = "CreateVssSnapshot"
# What a step's script is here: the name of what windows.py does for it.
CHECK_SCRIPT, INSTALL_SCRIPT, SNAPSHOT_SCRIPT = "lab:vss-check", "lab:vss-install", "lab:vss"

_BOOLEAN = {"type": "String", "default": "False", "allowedValues": ["True", "False"]}
_PARAMETERS: dict[str, Any] = {
    "ExcludeBootVolume": _BOOLEAN,
    "NoWriters": _BOOLEAN,
    "CopyOnly": _BOOLEAN,
    "CreateAmi": _BOOLEAN,
    "AmiName": {"type": "String", "default": "", "maxChars": 128},
    "description": {"type": "String", "default": "", "maxChars": 255},
    "tags": {
        "type": "String",
        "default": "Key=Name,Value=",
        # Letters, digits and these; "," and ";" separate, "=" binds.
        "allowedPattern": r"""[a-zA-Z0-9() ./\\\-"'@_+:={},;]*""",
    },
    "executionTimeout": {"type": "String", "default": "800", "allowedPattern": "[1-9][0-9]{2,5}"},
    "CollectDiagnosticLogs": _BOOLEAN,
    "SaveVssMetadata": _BOOLEAN,
}


def _step(name: str, script: str, seconds: str, **more: Any) -> dict[str, Any]:
    return {
        "action": "aws:runPowerShellScript",
        "name": name,
        "precondition": {"StringEquals": ["platformType", "Windows"]},
        "inputs": {"timeoutSeconds": seconds, "runCommand": [script], **more},
    }


DOCUMENTS: dict[str, dict[str, Any]] = {
    CREATE: {
        "schemaVersion": "2.2",
        "parameters": _PARAMETERS,
        "mainSteps": [_step("CreateVssSnapshot", SNAPSHOT_SCRIPT, "{{ executionTimeout }}")],
    },
    INSTALL: {
        "schemaVersion": "2.2",
        "parameters": _PARAMETERS
        | {"VssVersion": {"type": "String", "default": "", "allowedPattern": "[0-9.]{0,16}"}},
        "mainSteps": [
            # Nothing to install: the rest is skipped but for the last step.
            _step("CheckInstall", CHECK_SCRIPT, "60", onFailure="successAndExit"),
            _step("InstallVss", INSTALL_SCRIPT, "600"),
            _step(SNAPSHOT_STEP, SNAPSHOT_SCRIPT, "{{ executionTimeout }}", finallyStep="true"),
        ],
    },
}
