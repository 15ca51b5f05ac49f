"""One lab and two instances for all tests of this folder; everything is taken apart at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import LabProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="the lab needs root"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    running = LabProcess(tmp_path_factory.mktemp("lab") / "state")
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def db(lab: LabProcess) -> dict[str, Any]:
    return lab.launch("db", tags={"backup": "yes"})


@pytest.fixture(scope="session")
def files(lab: LabProcess) -> dict[str, Any]:
    return lab.launch("files", tags={"backup": "yes", "closed": "yes"})
