"""What a reader takes away: the guide as JSON, the modules' values, `llms.txt`, signs where pages once were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from content.loading import parse
from content.model import Guide
from docs.pages import pages
from docs.takeaway import files
from tests.content.build import SMALL, edited

SITE = "https://example.org/guide/"


@pytest.fixture(scope="module")
def guide() -> Guide:
    return parse(SMALL)


@pytest.fixture(scope="module")
def made(guide: Guide) -> dict[str, str]:
    return files(guide, pages(guide))


def read(made: dict[str, str], name: str) -> Any:
    return json.loads(made[f"data/{name}.json"])


def test_the_guide_comes_back_from_its_json(guide: Guide, made: dict[str, str]) -> None:
    assert Guide.model_validate_json(made["guide.json"]) == guide


def test_the_modules_learn_of_plans_in_plain_words() -> None:
    """No Markdown is left in what is set as text, and an address leads to a page."""
    guide = parse(edited(("do: Read about vectors", "do: Read **about** vectors [@wrok]")))
    made = pages(guide)
    plan = read(files(guide, made), "plans")["fortnight"]
    assert (plan["days"], plan["hours"], plan["unit"]) == (14, 11.5, "Week")
    step = plan["steps"][1]
    assert (step["id"], step["number"], step["first_day"], step["days"]) == ("week-2", 2, 8, 7)
    assert plan["steps"][0]["tasks"][0] == {
        "id": "read", "do": "Read about vectors", "hours": 2.0, "weight": "must", "skill": "python",
        "url": "plans/fortnight/week-1/#read"}
    assert {step["url"] for step in plan["steps"]} <= {page.address for page in made}


def test_the_modules_learn_of_the_quiz_and_of_skills(made: dict[str, str]) -> None:
    option = read(made, "quiz")["questions"][0]["options"][0]
    assert option == {"id": "people", "label": "People", "because": "people use products", "weights": {"products": 3}}
    skills = read(made, "skills")
    assert skills["levels"][skills["enough"]] == "Did it"
    assert [(found["plan"], found["task"]) for found in skills["skills"]["vector-search"]["practised"]] == [
        ("fortnight", "build-index"), ("fortnight", "golden-set")]


def test_programs_find_every_page_that_readers_find(guide: Guide) -> None:
    """With the whole address where it is known."""
    made = pages(guide)
    text = files(guide, made, SITE)["llms.txt"]
    assert text.startswith("# A guide\n\n> What one needs, and no more.\n")
    assert [page.path for page in made if page.listed and f"({SITE}{page.address})" not in text and page.address] == []
    assert f"({SITE}guide.json)" in text


def test_a_page_that_moved_leaves_a_sign(guide: Guide, made: dict[str, str]) -> None:
    """For browsers with and without a wish to follow it, and for search engines."""
    sign = made["faq/diploma/index.html"]
    assert '<meta http-equiv="refresh" content="0; url=../#degree">' in sign
    assert '<a href="../#degree">' in sign
    assert f'<link rel="canonical" href="{SITE}faq/">' in files(guide, (), SITE)["faq/diploma/index.html"]


def test_an_anchor_that_moved_is_told_on_its_page(guide: Guide) -> None:
    skills = next(page for page in pages(guide) if page.path == "skills/index.md")
    assert '<span id="snakes"></span>' in skills.markdown
    assert "[here now](index.md#python)" in skills.markdown


def test_a_sign_obeys_nobody() -> None:
    guide = parse(edited(('faq/diploma/: "faq/#degree"', 'faq/diploma/: "\\"><script>alert(1)</script>"')))
    assert "<script" not in files(guide, ())["faq/diploma/index.html"]
