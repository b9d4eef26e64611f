"""Guide → pages: everything the site shows of the guide, as Markdown that more than one generator can build.

`pages` is pure and knows no MkDocs. The Markdown is plain but for two habits that other generators share: headings
carry their id as `{ #id }`, and what is styled stands in `<div class="…" markdown="1">`, set off by blank lines.
What the guide's authors write is Markdown too; HTML in it is shown, not obeyed.

The modules in `assets/js` find their places by these, which mean the same for ever:
`data-task="<plan>/<task>"` on each task of a step's page (with `data-step`, `-hours`, `-weight`, `-skill`) and on the
boxes of the printed plan; `data-plan`, `data-step`, `data-number`, `data-first-day`, `data-days`, `data-hours` on
`data-ninety="step"`, an empty place in each step's page, and on `.row` in each row of a plan's table; `data-plan` on
`data-ninety="plan"`, `data-ninety="home"` and the ruler; `data-skill` below the heading of each skill; and
`data-ninety="quiz"`, `"assessment"`, `"dashboard"`, empty and with the address of their values in `data-json`, each
beside what is read without JavaScript (`"quiz-plain"` and so on). `files` in `takeaway.py` makes those values.
"""

from __future__ import annotations

import html
import json
import math
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
import yaml

from content.citations import CITATION, strip
from content.model import (
    Covered,
    Guide,
    PayBand,
    Plan,
    PlanId,
    Post,
    ProjectId,
    QuizOption,
    SkillId,
    SourceId,
    Step,
    StepId,
    Task,
    TrackId,
)
from docs.pictures import Artist, Band, Node, PayRanges, Sketch, SkillMap, Stretch, TimeLine, drawn

HERE = Path(__file__).parent
TO = "\N{EN DASH}"

Nav: TypeAlias = "list[str | dict[str, str | Nav]]"
"""As in the `nav` of mkdocs.yml."""

HAND_WRITTEN = {"join.md": ("Cohort",), "organise.md": ("Cohort",), "discord.md": ("Cohort",), "slack.md": ("Cohort",),
                "run.md": ("Cohort",), "growth.md": ("Cohort",), "edit.md": ()}
"""The pages that people write, each with its place in the nav, after those made from the guide."""

DOMAINS = {
    "programming": "Programming with models",
    "systems": "Systems",
    "data": "Data and retrieval",
    "deployment": "Deployment",
    "debugging": "Evaluation and debugging",
    "theory": "Theory",
    "career": "Career",
}
GRADES = {"must": "Must have", "differentiator": "Sets you apart", "skip": "Skip for now"}
REACH = {
    "realistic": "Within reach: months for a software engineer",
    "longer": "Longer: a course of study first",
    "research": "A research career",
}
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")


POSTS = (
    ("welcome", "Welcome", "the first day", "The room"),
    ("week_opens", "The week", "the first day of each week", "The room"),
    ("half_time", "Half-time", "the first day of the middle week", "The room"),
    ("nudge", "Reminder", "the last day of each week", "To you, if you have not checked in"),
    ("week_closes", "The week in numbers", "the last day of each week", "The room"),
    ("graduation", "The end", "the last day", "The room"),
)
"""(name in the rhythm, title, the day that its `day` counts from, where it goes)"""
COMMANDS = (("/checkin", "checkin"), ("/week", "week"), ("/progress", "progress"), ("/leaderboard", "leaderboard"),
            *((f"/cohort {name}", name) for name in ("join", "settings", "rest", "leave", "help", "log")))


@dataclass(frozen=True)
class Page:
    path: str
    """Below the root of the site, `plans/ninety-days/retrieval.md`."""
    title: str
    """Plain words, as the nav shows them."""
    markdown: str
    place: tuple[str, ...] = ()
    """The sections of the nav that it stands in, outermost first."""
    shows: tuple[str | int, ...] = ()
    """Where in the guide it comes from, `("plans", "ninety-days", "steps", 3)`."""
    listed: bool = True
    """In the nav; what is printed needs no place there."""

    @property
    def address(self) -> str:
        """Below the root of the site, `plans/ninety-days/retrieval/`; empty for the home page."""
        return address(self.path)


JOB = "Getting the job"


def pages(guide: Guide, draw: Artist = drawn) -> tuple[Page, ...]:
    """Every page made from the guide, in the order of the nav."""
    book = _Book(guide, draw)
    made = [
        book.page("index.md", "home", "Home", shows=("about",), plan_id=guide.cohort.plan),
        book.page("plans/index.md", "plans", "Plans", ("Plans",), ("plans",)),
    ]
    for plan_id, plan in guide.plans.items():
        place = ("Plans", plain(plan.title))
        made.append(book.page(f"plans/{plan_id}/index.md", "plan", plain(plan.title), place, ("plans", plan_id),
                              plan_id=plan_id, plan=plan))
        for week in book.weeks[plan_id]:
            title = f"{week.number} · {plain(week.step.title)}"
            made.append(book.page(step_path(plan_id, week.step.id), "week", title, place,
                                  ("plans", plan_id, "steps", week.number - 1), plan_id=plan_id, plan=plan, week=week))
        made.append(book.page(f"plans/{plan_id}/print.md", "print", f"{plain(plan.title)}, on paper", place,
                              ("plans", plan_id), listed=False, plan_id=plan_id, plan=plan))
    made.append(book.page("tracks/index.md", "tracks", "Tracks", ("Tracks",), ("tracks",)))
    for track_id, track in guide.tracks.items():
        made.append(book.page(f"tracks/{track_id}.md", "track", plain(track.title), ("Tracks",), ("tracks", track_id),
                              track_id=track_id, track=track))
    made += [
        book.page("which-track/index.md", "which_track", "Which track fits me?", ("Tracks",), ("quiz",)),
        book.page("roles/index.md", "roles", "Roles", ("Tracks",), ("roles",)),
        book.page("ladders/index.md", "ladders", "Ladders", ("Tracks",), ("ladders",)),
        book.page("skills/index.md", "skills", "Skills", ("Skills",), ("skills",)),
        book.page("where-am-i/index.md", "where_am_i", "Where am I?", ("Skills",), ("assessment",)),
        book.page("gaps/index.md", "gaps", "The gap", ("Skills",), ("gaps",)),
        book.page("stack/index.md", "stack", "The stack to learn", ("Skills",), ("stack",)),
        book.page("opinions/index.md", "opinions", "Overrated, underrated", ("Skills",), ("opinions",)),
        book.page("study/index.md", "study", "Ways to study", ("Skills",), ("study",)),
        book.page("projects/index.md", "projects", "Projects", ("Projects",), ("projects",)),
    ]
    for project_id, project in book.ranked:
        made.append(book.page(f"projects/{project_id}.md", "project", plain(project.title), ("Projects",),
                              ("projects", project_id), project_id=project_id, project=project))
    # Not as index.md, for the theme takes the first index in a section for the section's own page.
    made += [
        book.page("hired.md", "hired", "What gets hired", (JOB,), ("hired",)),
        book.page("portfolio.md", "portfolio", "Portfolio", (JOB,), ("signals",)),
        book.page("job-search.md", "job_search", "The job search", (JOB,), ("search",)),
        book.page("companies.md", "companies", "Companies", (JOB,), ("companies",)),
        book.page("pay.md", "pay", "Pay, as claimed", (JOB,), ("pay",)),
        book.page("interviews/index.md", "interviews", "Interviews", (JOB, "Interviews"), ("interviews",)),
    ]
    for walkthrough_id, walkthrough in guide.interviews.walkthroughs.items():
        made.append(book.page(f"interviews/{walkthrough_id}.md", "walkthrough", plain(walkthrough.title),
                              (JOB, "Interviews"), ("interviews", "walkthroughs", walkthrough_id),
                              walkthrough=walkthrough))
    further = [
        book.page("contradictions/index.md", "contradictions", "Contradictions", ("Sources",), ("contradictions",)),
        book.page("faq/index.md", "faq", "Questions and answers", ("Sources",), ("faq",)),
    ]
    cohort = book.page("cohort/index.md", "cohort", "Cohort", ("Cohort",), ("cohort",))
    mine = book.page("my-plan/index.md", "my_plan", "My plan")
    # These two tell of all the others, so they are made last.
    made.append(book.page("sources/index.md", "sources", "Sources", ("Sources",), ("sources",)))
    book.known = {page.path: page.title for page in (*made, *further, cohort, mine, *hand_written())}
    further.append(book.page("coverage/index.md", "coverage", "Coverage", ("Sources",), ("coverage",)))
    made += [*further, cohort, mine]
    return tuple(_with_what_moved(page, guide) for page in made)


def address(path: str) -> str:
    """`tracks/index.md` → `tracks/`, `tracks/mlops.md` → `tracks/mlops/`."""
    path = path.removesuffix(".md")
    return "" if path == "index" else path.removesuffix("/index") + "/"


def _with_what_moved(page: Page, guide: Guide) -> Page:
    """The page with a word about each anchor that it once had; a whole address that moved is a file of its own."""
    moved = [(old.partition("#")[2], new) for old, new in guide.redirects.items()
             if "#" in old and f"{old.partition('#')[0].strip('/')}/".lstrip("/") == page.address]
    if not moved:
        return page
    lines = []
    for anchor, new in moved:
        target, _, now = new.partition("#")
        path = next((path for path in _paths(target)), "index.md")
        to = _relative(path, posixpath.dirname(page.path)) + (f"#{now}" if now else "")
        lines.append(f'- <span id="{html.escape(anchor)}"></span> `{re.sub("[^a-z0-9-]", "", anchor)}` '
                     f'is [here now]({to})')
    return replace(page, markdown=page.markdown + '\n<div class="small" data-search-exclude markdown="1">\n\n'
                   + "Moved:\n\n" + "\n".join(lines) + "\n\n</div>\n")


def _paths(address: str) -> tuple[str, ...]:
    """Where the page with this address may be."""
    stem = address.strip("/")
    return (f"{stem}/index.md", f"{stem}.md") if stem else ("index.md",)


def hand_written(directory: Path = HERE) -> tuple[Page, ...]:
    """The pages of `HAND_WRITTEN` that are there, as they stand in `directory`."""
    found = [(path, directory / path) for path in HAND_WRITTEN]
    texts = [(path, file.read_text(encoding="utf-8")) for path, file in found if file.exists()]
    return tuple(Page(path, _heading(text) or path, text, HAND_WRITTEN[path]) for path, text in texts)


def nav(pages: Iterable[Page]) -> Nav:
    """The pages in their sections; an index with the section's name comes untitled, and so becomes its own page."""
    root: Nav = []
    sections: dict[tuple[str, ...], Nav] = {(): root}
    for page in pages:
        if not page.listed:
            continue
        for depth in range(1, len(page.place) + 1):
            here = page.place[:depth]
            if here not in sections:
                sections[here] = []
                sections[here[:-1]].append({here[-1]: sections[here]})
        is_index = page.place[-1:] == (page.title,) and posixpath.basename(page.path) == "index.md"
        sections[page.place].append(page.path if is_index else {page.title: page.path})
    return root


def write(pages: Iterable[Page], directory: Path, files: Mapping[str, str] | None = None) -> None:
    """The whole site as plain files: `docs/` with all pages, styles and `files`, and a `mkdocs.yml` without a plugin.

    Raises FileExistsError when the directory holds anything but an earlier writing of ours.
    """
    marker = directory / "mkdocs.yml"
    if directory.exists() and any(directory.iterdir()) and not marker.exists():
        raise FileExistsError(f"{directory} is not empty and was not written by `ninety pages`")
    everything = (*pages, *hand_written())
    docs = directory / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    for path, text in (*((page.path, page.markdown) for page in everything), *(files or {}).items()):
        file = docs / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())     # not as text, for a calendar ends its lines with CR LF
    shutil.copytree(HERE / "assets", docs / "assets", dirs_exist_ok=True)
    if (HERE / "sw.js").exists():
        shutil.copy(HERE / "sw.js", docs)
    styles = [f"assets/{name}.css" for name in ("ninety", "personal") if (HERE / f"assets/{name}.css").exists()]
    settings = {
        "site_name": "Ninety",
        "nav": nav(everything),
        "not_in_nav": "".join(f"/{page.path}\n" for page in everything if not page.listed),
        "extra_css": styles,
        "markdown_extensions": ["attr_list", "md_in_html", "tables", "toc", "fenced_code", "sane_lists"],
    }
    if (HERE / "assets/js/ninety.js").exists():
        settings["extra_javascript"] = [{"path": "assets/js/ninety.js", "type": "module"}]
    marker.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


# --- plans as the pages see them --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Week:
    """A step with its place in the plan; `unit` is what the plan's readers call it."""

    number: int
    first_day: int
    step: Step
    unit: str

    @property
    def name(self) -> str:
        return f"{self.unit} {self.number}"

    @property
    def days(self) -> str:
        last = self.first_day + self.step.days - 1
        return f"Day {last}" if self.step.days == 1 else f"Days {self.first_day}{TO}{last}"


def weeks(plan: Plan) -> tuple[Week, ...]:
    unit = "Week" if all(5 <= step.days <= 7 for step in plan.steps) else "Step"
    return tuple(Week(number, offset + 1, step, unit) for number, (offset, step) in enumerate(plan.offsets(), start=1))


def phases(plan: Plan) -> list[tuple[str, list[Week]]]:
    """Neighbouring steps of one phase, together."""
    return [(phase, list(group)) for phase, group in groupby(weeks(plan), key=lambda week: week.step.phase)]


# --- text -------------------------------------------------------------------------------------------------------------

CODE = re.compile(r"(?ms)^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^[ \t]*(?P=fence)[ \t]*$"
                  r"|(?P<ticks>(?<!`)`+(?!`))(?P<code>(?:(?!\n\s*\n).)+?)(?<!`)(?P=ticks)(?!`)")
GAP = re.compile(r"(?ms)^[ \t]*(?P<fence>`{3,}|~{3,}).*?^[ \t]*(?P=fence)|(?P<gap>\n{3,})")
"""A block of code, or more empty lines than one."""
SPACED_CITATION = re.compile(r"(?:(?<=\S)[ \t]*\n?[ \t]*)?" + CITATION.pattern)
TAG = re.compile(r"<(?=[A-Za-z/!?])(?!https?://[^\s<>]+>)")
BRACE = re.compile(r"(?<!\\)\{")


@lru_cache(4096)
def plain(line: str) -> str:
    """Markdown without its marks, for titles and places where no link may stand."""
    line = strip(line)
    line = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"`+(.+?)`+", r"\1", line)
    line = re.sub(r"(\*\*|__)(.+?)\1", r"\2", line)
    return re.sub(r"(?<!\w)([*_])(\S(?:.*?\S)?)\1(?!\w)", r"\2", line).strip()


@lru_cache(4096)
def label(line: str) -> str:
    """A line as the text of a link: plain words, nothing in them that Markdown would take up."""
    return re.sub(r"([\\`*_\[\]{}|])", r"\\\1", html.escape(plain(line), quote=False))


@lru_cache(4096)
def tip(line: str) -> str:
    """A line as the title of a link, which stands in quotes."""
    return re.sub(r"[|{}]", " ", html.escape(plain(line).replace('"', "'"), quote=False))


def hours(number: float) -> str:
    """`2.5`, `3`."""
    return f"{number:g}"


def month(year_month: str) -> str:
    """`2026-11` → `November 2026`."""
    year, number = year_month.split("-")
    return f"{MONTHS[int(number) - 1]} {year}"


def pay(band: PayBand) -> str:
    """`USD 145k to 220k+`, with a dash."""
    return f"{band.currency} {band.low}k{TO}{band.high}k{'+' if band.open_ended else ''}"


def due(post: Post, day: str) -> str:
    """`3 days before the first day`."""
    if post.day == 0:
        return day[0].upper() + day[1:]
    count = f"{abs(post.day)} day{'s' if abs(post.day) > 1 else ''}"
    return f"{count} {'after' if post.day > 0 else 'before'} {day}"


def count(number: int) -> str:
    """Small numbers as words."""
    return WORDS[number] if number < len(WORDS) else str(number)


def arc(plan: Plan) -> list[tuple[str, int]]:
    """The plan as a quarter of a circle, a degree for a day of ninety: (SVG path of a step, number of its phase)."""

    def point(day: float) -> str:
        angle = math.radians(90 * day / plan.days)
        return f"{20 + 360 * math.cos(angle):.1f} {380 - 360 * math.sin(angle):.1f}"

    def path(week: Week) -> str:
        begin = week.first_day - 1
        return f"M{point(begin + gap)}A360 360 0 0 0 {point(begin + week.step.days - gap)}"

    gap = plan.days * 0.006
    return [(path(week), number) for number, (_, steps) in enumerate(phases(plan), start=1) for week in steps]


def _outside_code(text: str, change: Callable[[str], str], code: Callable[[re.Match[str]], str]) -> str:
    if "`" not in text and "~~~" not in text:
        return change(text)
    parts: list[str] = []
    end = 0
    for match in CODE.finditer(text):
        parts += change(text[end : match.start()]), code(match)
        end = match.end()
    parts.append(change(text[end:]))
    return "".join(parts)


def _heading(text: str) -> str | None:
    match = re.search(r"(?m)^# (.+?)(?: *\{.*\})?$", text)
    return plain(match[1]) if match else None


@dataclass
class _Book:
    """What templates may ask for beside the page's own values, and who cites what."""

    guide: Guide
    draw: Artist
    cited: dict[SourceId, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """source → path → name of the pages that cite it, filled while pages are made."""

    known: dict[str, str] = field(default_factory=dict)
    """path → title of every page, once all are made."""

    def __post_init__(self) -> None:
        self.ranked = sorted(self.guide.projects.items(), key=lambda item: item[1].rank)
        self.weeks = {plan_id: weeks(plan) for plan_id, plan in self.guide.plans.items()}
        self.all_tasks = [(plan_id, step_path(plan_id, week.step.id), week, task)
                          for plan_id, all_weeks in self.weeks.items()
                          for week in all_weeks for task in week.step.tasks]

    def page(self, path: str, template: str, title: str, place: tuple[str, ...] = (),
             shows: tuple[str | int, ...] = (), *, listed: bool = True, **values: Any) -> Page:
        self.here, self.name = path, title
        if "week" in values:
            own = values["plan_id"] == self.guide.cohort.plan
            self.name = values["week"].name if own else f"{plain(values['plan'].title)}, {values['week'].name.lower()}"
        text = TEMPLATES.get_template(f"{template}.md.j2").render(values, book=self, guide=self.guide)
        text = GAP.sub(lambda gap: "\n\n" if gap["gap"] else gap[0], text)
        return Page(path, title, text.strip() + "\n", place, shows, listed)

    def to(self, path: str, anchor: str = "") -> str:
        """The link from the page being made to another."""
        if path == self.here and anchor:
            return f"#{anchor}"
        return _relative(path, posixpath.dirname(self.here)) + (f"#{anchor}" if anchor else "")

    def cite(self, source_id: SourceId) -> str:
        """A small link to the source; KeyError when the guide has no such source."""
        source = self.guide.sources[source_id]
        self.cited[source_id].setdefault(self.here, self.name)
        who = tip(f"{source.title} ({source.publisher})")
        return f'<sup class="cite">[{source_id}]({self.to("sources/index.md", source_id)} "{who}")</sup>'

    def md(self, text: str) -> str:
        """An author's Markdown for the page: citations as links, HTML shown as it was typed."""
        return _outside_code(text, self._prose, lambda match: match[0])

    def said(self, text: str, source: SourceId) -> str:
        """What a source says, with its mark behind it unless the text has one already."""
        if any(match["id"] == source for match in CITATION.finditer(text)):
            return self.md(text)
        # Behind a list, a table or a block of code a mark would be taken for a part of it.
        last = text.rstrip().rpartition("\n")[2].lstrip()
        return self.md(text.rstrip()) + ("\n\n" if last[:1] in ("`", "~", "|") else "") + self.cite(source)

    def said_in_cell(self, text: str, source: SourceId) -> str:
        known = any(match["id"] == source for match in CITATION.finditer(text))
        return self.cell(text) + ("" if known else self.cite(source))

    def who(self, source_id: SourceId) -> str:
        """The source's publisher as the text of a link; its title where our copy does not say who published it."""
        source = self.guide.sources[source_id]
        return label(source.title if source.publisher.startswith("Not named") else source.publisher)

    def cell(self, text: str) -> str:
        """The same on one line, for a cell of a table; a pipe would end the cell."""

        def code(match: re.Match[str]) -> str:
            return f"<code>{html.escape(match['code'] or match[0]).replace('|', '&#124;')}</code>"

        def prose(text: str) -> str:
            return self._prose(text.replace("|", "&#124;"))

        text = re.sub(r"\s*\n\s*\n\s*", "<br>", _outside_code(text, prose, code))
        return re.sub(r"\s*\n\s*", " ", text)

    def _prose(self, text: str) -> str:
        text = BRACE.sub(r"\\{", TAG.sub("&lt;", text))
        return SPACED_CITATION.sub(lambda match: self.cite(match["id"]), text) if "[@" in text else text

    def tasks(self, *, skill: SkillId | None = None, project: ProjectId | None = None,
              plan: PlanId | None = None) -> list[tuple[str, Week, Task]]:
        """(path of the week, week, task) for each task of the skill, the project or the plan."""
        return [(path, week, task) for plan_id, path, week, task in self.all_tasks
                if skill in (None, task.skill) and project in (None, task.project) and plan in (None, plan_id)]

    def tasks_by_plan(self, project: ProjectId) -> list[tuple[PlanId, list[tuple[str, Week, Task]]]]:
        found = [(plan_id, self.tasks(project=project, plan=plan_id)) for plan_id in self.guide.plans]
        return [(plan_id, tasks) for plan_id, tasks in found if tasks]

    def closed_by(self, skill: SkillId, beside: PlanId | None = None) -> list[tuple[PlanId, list[tuple[str, Week]]]]:
        """Per plan, the weeks that practise the skill; not of the plan `beside`."""
        found: dict[PlanId, dict[str, Week]] = {plan_id: {} for plan_id in self.guide.plans if plan_id != beside}
        for plan_id, path, week, task in self.all_tasks:
            if task.skill == skill and plan_id in found:
                found[plan_id][path] = week
        return [(plan_id, list(weeks.items())) for plan_id, weeks in found.items() if weeks]

    def speaks(self, option: QuizOption) -> list[tuple[TrackId, int]]:
        """The tracks that an answer speaks for, the most first."""
        weights = [(track, points) for track, points in option.weights.items() if points]
        return sorted(weights, key=lambda weight: -weight[1])

    def covered(self) -> list[tuple[SourceId, list[Covered]]]:
        rows: dict[SourceId, list[Covered]] = defaultdict(list)
        for row in self.guide.coverage:
            rows[row.source].append(row)
        return [(source, rows[source]) for source in self.guide.sources if source in rows]

    def address(self, address: str) -> tuple[str, str, str]:
        """(path, anchor, title) of a page by its address in the site; where there is none, the builder will say so."""
        page, _, anchor = address.partition("#")
        paths = _paths(page)
        path = next((path for path in paths if path in self.known), paths[0])
        return path, anchor, self.known.get(path, address)

    def pay_ranges(self) -> list[Sketch]:
        """A picture for each currency."""
        found = []
        for currency in dict.fromkeys(band.currency for track in self.guide.tracks.values() for band in track.pay):
            groups = tuple((plain(track.title), bands) for track in self.guide.tracks.values() if (bands := tuple(
                Band(plain(band.level), band.low, band.high, band.open_ended, band.basis)
                for band in track.pay if band.currency == currency)))
            title = f"Claimed pay by role and level, thousand {currency} a year"
            found.append(PayRanges(title, "A bar from the lower to the upper figure of each claim; the table below the "
                                   "picture has the same figures with their sources.", groups))
        return [*found]

    def calendar_start(self) -> str:
        """The day on which the calendar files begin, `7 December 2026`."""
        from docs.calendar_files import nominal_start  # here, because it is made of what this file offers

        start = nominal_start(self.guide.about.reviewed)
        return f"{start.day} {MONTHS[start.month - 1]} {start.year}"

    def skill_map(self) -> Sketch:
        nodes = tuple(Node(skill_id, plain(skill.title), skill.grade, skill.builds_on)
                      for skill_id, skill in self.guide.skills.items())
        return SkillMap("What builds on what", f"{len(nodes)} skills with lines from each to those that build on it, "
                        "foundations on top. The text below the picture says the same of each skill.", nodes,
                        tuple(GRADES.items()))

    def time_line(self) -> Sketch:
        stretches = []
        for plan in self.guide.plans.values():
            steps = tuple((week.step.days, number) for number, (_, group) in enumerate(phases(plan), start=1)
                          for week in group)
            total = hours(sum(step.hours for step in plan.steps))
            stretches.append(Stretch(plain(plan.title), f"{plan.days} days, {total} hours", plan.days, steps))
        said = "; ".join(f"{stretch.label}: {stretch.note}" for stretch in stretches)
        return TimeLine("The plans on one time line", f"{said}. Shades are the phases of a plan.", tuple(stretches))

    def judged(self, skill: SkillId) -> list[ProjectId]:
        return [project_id for project_id, project in self.ranked if skill in project.skills]

    def skills_by(self, *, grade: str | None = None, domain: str | None = None) -> list[SkillId]:
        return [skill_id for skill_id, skill in self.guide.skills.items()
                if grade in (None, skill.grade) and domain in (None, skill.domain)]

    def roles_of(self, track: TrackId) -> list[str]:
        return [role_id for role_id, role in self.guide.roles.items() if track in role.tracks]


def step_path(plan_id: str, step_id: StepId) -> str:
    return f"plans/{plan_id}/{step_id}.md"


@lru_cache(4096)
def _relative(path: str, folder: str) -> str:
    return posixpath.relpath(path, folder or ".")


@jinja2.pass_context
def _md(context: jinja2.runtime.Context, text: str) -> str:
    return str(context["book"].md(text))


@jinja2.pass_context
def _cell(context: jinja2.runtime.Context, text: str) -> str:
    return str(context["book"].cell(text))


# Markdown, not HTML: what authors write passes `md`, `line`, `cell`, `label` or `tip`, which let no HTML through.
TEMPLATES = jinja2.Environment(autoescape=False, loader=jinja2.FileSystemLoader(HERE / "templates"),  # noqa: S701
                               undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
TEMPLATES.filters.update(
    md=_md, line=_md, cell=_cell, plain=plain, label=label, tip=tip, hours=hours, pay=pay, month=month, count=count,
    e=html.escape, json=lambda value: json.dumps(value, ensure_ascii=False),
    lower_first=lambda text: text[:1].lower() + text[1:],
)
TEMPLATES.globals.update(phases=phases, arc=arc, due=due, step_path=step_path, domains=DOMAINS,
                         grades=GRADES, reach=REACH, posts=POSTS, commands=COMMANDS)
