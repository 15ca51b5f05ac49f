"""The CloudFormation templates: valid, and the documents in them are the files.

What they allow and how a run goes through them is in tests/infra. That the policies are wide enough is
shown where the functions run under them, in the lab.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.stack import ALL_DOCUMENTS, DOCUMENTS
from infra.template import DRILL, HUB, POLICY, ROOT, TEMPLATE, load


def test_cfn_lint_passes_with_every_rule(tmp_path: Path) -> None:
    # An empty home and working folder: no .cfnlintrc anywhere can switch a rule off.
    lint = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "--include-checks",
            "I",
            "--",
            TEMPLATE,
            POLICY,
            DRILL,
            HUB,
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


@pytest.mark.parametrize("path", [TEMPLATE, POLICY, DRILL, HUB], ids=lambda p: p.name)
def test_templates_are_plain_cloudformation(path: Path) -> None:
    template = load(path)
    assert "Transform" not in template
    assert "cfn-lint" not in path.read_text(), "a rule is ignored"
    for name, resource in template["Resources"].items():
        assert not resource["Type"].startswith(("Custom::", "AWS::CloudFormation::")), name
    for name, parameter in template["Parameters"].items():
        assert parameter.get("Description"), f"parameter {name} has no description"


def test_documents_in_the_template_equal_the_files() -> None:
    files = {
        path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob("ssm-documents/**/*.yaml")
    }
    deployed = {document["Name"]: document["Content"] for document in ALL_DOCUMENTS.values()}
    assert deployed == files

# Documents for people, which neither DLM nor a policy may send.
NO_SCRIPTS = {"DrillDocument", "InstallAgentDocument"}


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - NO_SCRIPTS))
def test_documents_are_deployed_so_that_dlm_may_send_them(name: str) -> None:
    document = DOCUMENTS[name]
    assert {"Key": "DLMScriptsAccess", "Value": "true"} in document["Tags"]
    assert document["DocumentType"] == "Command"
    assert document["TargetType"] == "/AWS::EC2::Instance"
    # Without it a changed document with a fixed name fails the stack update.
    assert document["UpdateMethod"] == "NewVersion"


@pytest.mark.parametrize("name", sorted(NO_SCRIPTS))
def test_documents_for_people_are_not_for_dlm(name: str) -> None:
    assert "Tags" not in DOCUMENTS[name]
    assert DOCUMENTS[name]["UpdateMethod"] == "NewVersion"
