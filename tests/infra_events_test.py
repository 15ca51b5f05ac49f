"""The planner's saved test events: the files, and the template that shares them, say the same."""

import json
import subprocess
import sys
from pathlib import Path

from infra.template import ROOT, load, of_type

FILES = {path.stem: json.loads(path.read_text()) for path in ROOT.glob("infra/test-events/*.json")}
TEMPLATE = ROOT / "infra" / "test-events.yaml"
SHARED = load(TEMPLATE)


def test_the_template_shares_the_files() -> None:
    (schema,) = of_type(SHARED, "AWS::EventSchemas::Schema").values()
    content = json.loads(schema["Content"])
    assert {name: one["value"] for name, one in content["components"]["examples"].items()} == FILES
    known = content["components"]["schemas"]["Event"]["properties"]
    assert all(set(event) <= set(known) for event in FILES.values())
    # How Lambda's console finds the events of a function.
    assert (schema["SchemaName"], schema["Type"]) == ("_stillpoint-planner-schema", "OpenApi3")
    (registry,) = of_type(SHARED, "AWS::EventSchemas::Registry").values()
    assert registry["RegistryName"] == "lambda-testevent-schemas"
    assert schema["RegistryName"]["Fn::If"][2] == registry["RegistryName"]


def test_cfn_lint_passes_with_every_rule(tmp_path: Path) -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", TEMPLATE],
        cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": ""}, capture_output=True, text=True,
        check=False)
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


def test_only_one_event_runs_anything() -> None:
    """Nobody should start a snapshot by pressing Test on the first event of the list."""
    assert [name for name, event in FILES.items() if not event.get("dryRun")] == ["run-one-instance"]
