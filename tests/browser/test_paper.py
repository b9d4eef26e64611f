"""What comes out of a printer: a week on one sheet, a plan on a few."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from content.loading import default_path, load

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser


def sheets(browser: Browser, file: Path) -> int:
    page = browser.new_page()
    page.goto(file.as_uri())
    paper = page.pdf(format="A4", margin={"top": "14mm", "bottom": "14mm", "left": "14mm", "right": "14mm"})
    page.close()
    return len(re.findall(rb"/Type\s*/Page\b", paper))


@pytest.mark.parametrize("plan_id", load(default_path()).plans)
def test_each_step_is_a_checklist_on_one_sheet(browser: Browser, built: Path, plan_id: str) -> None:
    """And the whole plan takes no more sheets than it has steps."""
    steps = load(default_path()).plans[plan_id].steps
    folder = built / "plans" / plan_id
    taken = {step.id: sheets(browser, folder / step.id / "index.html") for step in steps}
    assert {step_id: number for step_id, number in taken.items() if number > 1} == {}
    assert sheets(browser, folder / "print/index.html") <= max(len(steps), 2)
