"""docs/COSTS.md says what tests/infra/costs.py counts, and every price in it has a source."""

from __future__ import annotations

import re

import pytest

from infra.costs import PRICES, RUN, Run, index_writes, sweeps, tables
from infra.template import ROOT

PAGE = (ROOT / "docs" / "COSTS.md").read_text()


@pytest.mark.parametrize("name", sorted(tables()))
def test_the_page_has_the_table_as_it_is_counted(name: str) -> None:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n\n", PAGE, re.DOTALL)
    assert found == tables()[name], "cd tests && ../.venv/bin/python -m infra.costs prints it"


def test_the_page_has_no_other_amount() -> None:
    text = re.sub(r"<!-- \w+ -->\n.*?\n\n", "", PAGE, flags=re.DOTALL)
    assert re.findall(r"\$\d[\d.]*", text) == []


@pytest.mark.parametrize("name", sorted(PRICES))
def test_a_price_says_where_it_was_read(name: str) -> None:
    price = PRICES[name]
    assert price.dollars > 0 and price.unit and price.free and price.as_of
    assert price.source.startswith("https://")


def test_each_index_is_written_with_the_item() -> None:
    # Twice: the one entry is written and taken out, the other is written twice.
    assert index_writes(Run(saves=2, item_kb=1, events=4, seconds=1, log_kb=1)) == 4
    assert index_writes(RUN) == 10


def test_everything_that_fires_by_itself_is_counted() -> None:
    assert sweeps() == {"GuardSchedule": 43_200, "ReaperRule": 2_880, "RestoreSweepRule": 8_640,
                        "LifecycleSweepRule": 4_320}
