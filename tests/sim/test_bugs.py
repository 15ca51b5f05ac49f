"""The list of planted bugs: each can be planted, and the documentation has just these."""

from pathlib import Path

import pytest

from bugs import BUGS, ROOT, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    text = (ROOT / bug.file).read_text()
    assert text.count(bug.before) == 1, f"{bug.file} has changed"
    assert bug.after != bug.before


def test_the_documentation_has_just_these() -> None:
    page = (Path(ROOT) / "docs" / "SIMULATOR.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{bug.name}` | `{bug.file}` | {bug.breaks} |" for bug in BUGS]
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
