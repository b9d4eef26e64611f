"""The guide as pages: complete, linked, safe to show and fit for another generator."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markdown  # type: ignore[import-untyped]  # comes with MkDocs; its types would be one more thing to install
import pytest
import yaml
from markdown_it import MarkdownIt

from content.loading import default_path, load, parse
from content.model import Guide
from docs import pages as ours
from docs.calendar_files import calendars
from docs.pages import Page, hand_written, nav, pages, weeks, write
from docs.takeaway import files
from tests.content.build import SMALL, edited

DOCS = Path(ours.__file__).parent

EXTENSIONS = ["attr_list", "md_in_html", "tables", "toc", "fenced_code", "sane_lists"]
LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
NASTY = "<script>alert(1)</script> <img src=x onerror=alert(2)> a|b `c|<d>` [@wrok] {: onclick=alert(3) } {#stolen}"


@pytest.fixture(scope="module")
def guide() -> Guide:
    return load(default_path())


@pytest.fixture(scope="module")
def made(guide: Guide) -> tuple[Page, ...]:
    return pages(guide)


def nasty() -> Guide:
    """The small guide with something evil at the end of everything that an author words freely."""
    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poisoned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return f"{value} {NASTY}" if isinstance(value, str) and value[0].isupper() and value != "USD" else value

    plain = yaml.safe_load(SMALL.replace("- {title: Collect", "- {title: Collect it"))
    prose = {key: poisoned(value) for key, value in plain.items() if key not in ("cohort", "voice")}
    return Guide.model_validate(plain | prose | {"cohort": plain["cohort"], "voice": plain["voice"]}, strict=False)


class Elements(HTMLParser):
    """The elements of a text, and how many cells each row of its tables has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append(0)
        elif tag in ("td", "th"):
            self.rows[-1] += 1


def html(page: Page) -> str:
    return str(markdown.markdown(body(page), extensions=EXTENSIONS))


def body(page: Page) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", page.markdown, flags=re.DOTALL)


def ids(page: Page) -> set[str]:
    return {str(attrs["id"]) for _, attrs in Elements(html(page)).found if attrs.get("id")}


def links(page: Page) -> Iterator[tuple[str, str]]:
    """(path, anchor) of each link to a page of ours."""
    prose = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", page.markdown)
    for target in LINK.findall(prose):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield posixpath.normpath(posixpath.join(posixpath.dirname(page.path), path)) if path else page.path, anchor


def test_every_part_of_the_guide_has_its_place(guide: Guide, made: tuple[Page, ...]) -> None:
    """Each step, track and project a page, each task, skill, role and source an anchor."""
    anchors = {page.path: ids(page) for page in made}
    for plan_id, plan in guide.plans.items():
        for step in plan.steps:
            assert {task.id for task in step.tasks} <= anchors[f"plans/{plan_id}/{step.id}.md"]
    assert {f"tracks/{track}.md" for track in guide.tracks} <= anchors.keys()
    assert {f"projects/{project}.md" for project in guide.projects} <= anchors.keys()
    assert guide.skills.keys() <= anchors["skills/index.md"]
    assert guide.roles.keys() <= anchors["roles/index.md"]
    assert guide.sources.keys() <= anchors["sources/index.md"]


def test_every_section_has_its_page(guide: Guide, made: tuple[Page, ...]) -> None:
    """At the address that readers were given, each of its items with its id as anchor."""
    anchors = {page.address: ids(page) for page in made}
    interviews = guide.interviews
    questions = {question.id for format in interviews.formats.values() for question in format.questions}
    expected = {
        "gaps/": guide.gaps.keys(), "stack/": guide.stack.keys(), "ladders/": guide.ladders.keys(),
        "study/": guide.study.keys(), "companies/": guide.companies.keys(), "faq/": guide.faq.keys(),
        "contradictions/": guide.contradictions.keys(), "portfolio/": guide.signals.keys() | {"levels"},
        "pay/": {"by-role-and-level", "by-career-stage", "market"},
        "job-search/": {"titles", "employers", "routine", "reframing", *guide.reframing},
        "interviews/": questions | interviews.formats.keys(),
        "which-track/": {question.id for question in guide.quiz.questions},
        "where-am-i/": {f"skill-{skill}" for skill in guide.skills},
        "hired/": set(), "opinions/": set(), "my-plan/": set(), "coverage/": {row.source for row in guide.coverage},
        **{f"interviews/{walkthrough}/": set() for walkthrough in interviews.walkthroughs},
        **{f"plans/{plan}/print/": {step.id for step in guide.plans[plan].steps} for plan in guide.plans},
    }
    assert {place: wanted - anchors[place] for place, wanted in expected.items() if wanted - anchors[place]} == {}


def test_every_address_of_the_coverage_is_there(guide: Guide, made: tuple[Page, ...]) -> None:
    """A system that we say we show is shown: the page and the place on it."""
    anchors = {page.address: ids(page) | {""} for page in (*made, *hand_written())}
    dead = [row.page for row in guide.coverage
            if row.page.partition("#")[2] not in anchors.get(row.page.partition("#")[0], set())]
    assert dead == []


def test_what_is_ours_is_said_to_be_ours() -> None:
    """A question without a source is marked, one with a source names it."""
    page = next(page for page in pages(parse(SMALL)) if page.path == "interviews/index.md")
    ours, theirs = page.markdown.split("{ #typed-python }")[1], page.markdown.split("{ #design-search }")[1]
    assert "Ours" in ours.split("</div>")[0]
    assert "Asked by [Wrok]" in theirs.split("</div>")[0]


def test_a_mark_stands_once_behind_what_a_source_says() -> None:
    """Not twice when the author has set it, and not inside a list or a block of code."""
    def stack(text: str) -> str:
        guide = parse(SMALL)
        layer = guide.stack["foundation"].model_copy(update={"text": text})
        made = pages(guide.model_copy(update={"stack": {"foundation": layer}}))
        return next(page.markdown for page in made if page.path == "stack/index.md")

    assert stack("So [@wrok].").count('class="cite"') == 1
    assert 'So.<sup class="cite">' in stack("So.")
    assert "```\n\n<sup" in stack("```\nx\n```")


def test_every_task_tells_the_modules_what_it_is(guide: Guide, made: tuple[Page, ...]) -> None:
    """On its step's page and on paper, by an id that stays."""
    of = {page.path: Elements(html(page)).found for page in made if page.path.startswith("plans/")}
    for plan_id, plan in guide.plans.items():
        printed = [attrs["data-task"] for _, attrs in of[f"plans/{plan_id}/print.md"] if "data-task" in attrs]
        assert printed == [f"{plan_id}/{task.id}" for step in plan.steps for task in step.tasks]
        for offset, step in plan.offsets():
            found = of[f"plans/{plan_id}/{step.id}.md"]
            assert [(attrs["data-task"], attrs["data-hours"], attrs["data-weight"], attrs["data-skill"])
                    for _, attrs in found if "data-task" in attrs] == [
                (f"{plan_id}/{task.id}", f"{task.hours:g}", task.weight, task.skill) for task in step.tasks]
            place = next(attrs for _, attrs in found if attrs.get("data-ninety") == "step")
            assert (place["data-plan"], place["data-step"], place["data-first-day"], place["data-days"]) == (
                plan_id, step.id, str(offset + 1), str(step.days))


def test_every_link_leads_somewhere(guide: Guide, made: tuple[Page, ...]) -> None:
    """Between all pages, hand-written ones too, to the anchor; and to the files beside them."""
    everything = (*made, *hand_written())
    anchors = {page.path: ids(page) for page in everything} | {path: set() for path, _ in calendars(guide)}
    dead = [(page.path, path, anchor) for page in everything for path, anchor in links(page)
            if (path not in anchors or (anchor and anchor not in anchors[path]))
            and not (path.startswith("assets/") and (DOCS / path).is_file())]
    assert dead == []


def test_every_citation_becomes_a_link(guide: Guide, made: tuple[Page, ...]) -> None:
    """None is left as it was typed, and each source knows who cites it."""
    assert [page.path for page in made if "[@" in page.markdown] == []
    sources = next(page for page in made if page.path == "sources/index.md")
    assert sources.markdown.count("Cited on") == len(guide.sources)


def test_a_citation_needs_no_space_and_names_its_source() -> None:
    """It stands close to the word, and a reader who points at it learns who it is."""
    home = pages(parse(edited(("Costs rise [@wrok].", "Costs rise\n      [@wrok]."))))[0]
    mark = '<sup class="cite">[wrok](sources/index.md#wrok "From software to models (Wrok)")</sup>'
    assert f"Costs rise{mark}." in home.markdown


def test_an_unknown_source_is_an_error_here_too() -> None:
    """Loading refuses it; whoever goes round loading hears of it as well."""
    guide = parse(SMALL)
    about = guide.about.model_copy(update={"promise": "Rise [@nobody]"})
    with pytest.raises(KeyError, match="nobody"):
        pages(guide.model_copy(update={"about": about}))


def test_what_authors_type_is_shown_and_not_obeyed() -> None:
    """No element, no handler and no id comes out of a text, and its pipes split no cell."""
    for page in pages(nasty()):
        elements = Elements(html(page))
        assert not {"script", "img"} & {tag for tag, _ in elements.found}, page.path
        assert not [name for _, attrs in elements.found for name in attrs if name.startswith("on")], page.path
        assert "stolen" not in {attrs.get("id") for _, attrs in elements.found}, page.path
        for table in re.findall(r"<table>.*?</table>", html(page), re.DOTALL):
            assert len(set(Elements(table).rows)) == 1, page.path


def test_code_is_left_alone() -> None:
    """In a fence or between backticks nothing is escaped and nothing cited."""
    code = ("Look at `<b> {x} [@wrok]`:\n\n```python\nif a < b: {1: \"<i>\"}\n\n\n\nend\n```\n\n"
            "1. So\n\n    ```\n    <u>\n    ```")
    step = parse(SMALL).plans["fortnight"].steps[0]
    task = step.tasks[0].model_copy(update={"how": code})
    plan = parse(SMALL).plans["fortnight"].model_copy(update={"steps": (step.model_copy(update={"tasks": (task,)}),)})
    page = next(page for page in pages(parse(SMALL).model_copy(update={"plans": {"fortnight": plan}}))
                if page.path == "plans/fortnight/week-1.md")
    assert code in page.markdown


@pytest.mark.parametrize(("markdown", "words"), [
    ("A **bold** step", "A bold step"),
    ("Why `snake_case_names` stay", "Why snake_case_names stay"),
    ("See [the list](https://example.org/x)", "See the list"),
    ("Said twice [@a] [@b]", "Said twice"),
    ("2 * 3 * 4", "2 * 3 * 4"),
])
def test_titles_are_plain_words(markdown: str, words: str) -> None:
    assert ours.plain(markdown) == words


def test_the_nav_holds_every_page_once(made: tuple[Page, ...]) -> None:
    def paths(level: Any) -> Iterator[str]:
        for item in level:
            yield from [item] if isinstance(item, str) else [v for v in item.values() if isinstance(v, str)]
            if isinstance(item, dict):
                yield from (path for value in item.values() if isinstance(value, list) for path in paths(value))

    everything = [page.path for page in (*made, *hand_written())]
    listed = [page.path for page in (*made, *hand_written()) if page.listed]
    assert sorted(paths(nav((*made, *hand_written())))) == sorted(listed)
    assert len(everything) == len(set(everything))


def test_the_nav_nests_sections_and_leaves_their_index_untitled() -> None:
    """MkDocs makes an untitled index the section's own page; an index with another name is a page like others."""
    tree = nav([Page("index.md", "Home", ""), Page("p/index.md", "Plans", "", ("Plans",)),
                Page("p/a/index.md", "A", "", ("Plans", "A")), Page("p/a/x.md", "X", "", ("Plans", "A")),
                Page("p/a/print.md", "P", "", ("Plans", "A"), listed=False), Page("q/index.md", "Q", "", ("Plans",))])
    assert tree == [{"Home": "index.md"},
                    {"Plans": ["p/index.md", {"A": ["p/a/index.md", {"X": "p/a/x.md"}]}, {"Q": "q/index.md"}]}]


def test_weeks_are_counted_from_day_one(guide: Guide) -> None:
    """The thirteenth week of ninety days has six."""
    assert [(week.name, week.days) for week in weeks(guide.plans["ninety-days"])][::12] == [
        ("Week 1", "Days 1\N{EN DASH}7"), ("Week 13", "Days 85\N{EN DASH}90")]


def test_pages_are_the_same_each_time(guide: Guide, made: tuple[Page, ...]) -> None:
    assert pages(guide) == made


def test_a_page_says_what_it_shows(guide: Guide, made: tuple[Page, ...]) -> None:
    """So that "edit this page" can lead to the line."""
    shown = {page.path: page.shows for page in made}
    assert shown["plans/ninety-days/index.md"] == ("plans", "ninety-days")
    step = guide.plans["ninety-days"].steps[3]
    assert shown[f"plans/ninety-days/{step.id}.md"] == ("plans", "ninety-days", "steps", 3)


def test_other_readers_of_markdown_find_every_link(made: tuple[Page, ...]) -> None:
    """CommonMark with tables, which knows neither `markdown="1"` nor attribute lists."""
    reader = MarkdownIt("commonmark").enable("table")
    for page in (*made, *hand_written()):
        text = re.sub(r"(?s)<(code|pre).*?</\1>", "", reader.render(body(page)))
        assert "](" not in text, page.path


def test_written_pages_build_without_us(guide: Guide, made: tuple[Page, ...], tmp_path: Path) -> None:
    """MkDocs with its own theme and no plugin finds nothing to complain about."""
    write(made, tmp_path / "out", files(guide, made) | dict(calendars(guide)))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-t", "mkdocs",
               "-f", str(tmp_path / "out/mkdocs.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command
    assert (done.returncode, done.stderr) == (0, "")


def test_writing_again_leaves_no_page_of_before(tmp_path: Path) -> None:
    write([Page("old.md", "Old", "# Old\n")], tmp_path)
    write([Page("new.md", "New", "# New\n")], tmp_path)
    assert not (tmp_path / "docs/old.md").exists()
    assert (tmp_path / "docs/new.md").read_text() == "# New\n"


def test_writing_never_touches_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not empty"):
        write([Page("new.md", "New", "# New\n")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_writes_them(tmp_path: Path) -> None:
    """`ninety pages` runs this; it says what it did, and fails where it must not write."""
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "docs", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False,  # noqa: S603  our own command
                              cwd=Path(ours.__file__).parents[1])

    assert run().returncode == 0
    assert (tmp_path / "docs/index.md").exists() and (tmp_path / "docs/join.md").exists()
    (tmp_path / "mkdocs.yml").unlink()
    again = run()
    assert again.returncode == 1 and "not empty" in again.stderr
