"""docs/run.md names every setting and every metric that there is, with the values that hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.metrics import Metrics
from bot.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "run.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, list[str]]:
    """Of each name in the first column of the section's table the other columns."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: dict[str, list[str]] = {}
    for row in re.findall(r"^\| (`.*) \|$", section, re.M):
        names, *others = re.split(r" *\| *", row)
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", names), others)
    return found


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    assert set(table("Settings")) == {f"NINETY_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_table_tells_what_holds_when_a_setting_is_not_set(name: str) -> None:
    default = Settings.model_fields[name].default
    told, _ = table("Settings")[f"NINETY_{name.upper()}"]
    if default in (None, "") or str(default).startswith("https://"):
        assert "`" not in told, "there is no value of its own"
    else:
        assert told == f"`{default}`"


def test_every_metric_is_in_the_table_with_its_labels_and_nothing_else() -> None:
    registry = Metrics().registry
    there = {}
    for family in registry.collect():
        if family.name.startswith("ninety_"):
            # Only the metric itself knows them in their order, where nothing has been counted yet.
            source = family if hasattr(family, "_labelnames") else registry._names_to_collectors[family.name]
            there[family.name + "_total" * (family.type == "counter")] = ", ".join(vars(source)["_labelnames"])
    assert {name: labels for name, (labels, _) in table("What it counts").items()} == there
