"""A guide is loaded whole or refused whole, and each refusal says where and what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from content import loading, model
from content.loading import GuideError, Problem, default_path, load, parse
from content.model import Guide
from tests.content.build import SMALL, edited, place


def problems(text: str) -> list[str]:
    with pytest.raises(GuideError) as refused:
        parse(text)
    return [str(problem) for problem in refused.value.problems]


def test_a_small_guide_loads() -> None:
    """Everything that is required is in it, and nothing else."""
    guide = parse(SMALL)
    assert guide.about.promise == "Costs rise [@wrok].\n\nSo does pay."
    assert [(offset, step.id, step.hours) for offset, step in guide.plans["fortnight"].offsets()] == [
        (0, "week-1", 6.0), (7, "week-2", 5.5)]


def test_a_file_loads_as_its_text_does(tmp_path: Path) -> None:
    """A byte order mark and Windows line ends change nothing."""
    path = tmp_path / "guide.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert load(path) == parse(SMALL)


def test_the_default_guide_stands_beside_the_module() -> None:
    assert default_path() == Path(loading.__file__).parent / "guide.yaml"


def test_a_problem_reads_as_one_line_with_place_path_and_cure() -> None:
    problem = Problem("guide.yaml", 412, 7, "plans.ninety-days.steps[3].tasks[1].skill",
                      "'vectors' is no skill of this guide; did you mean 'vector-search'?")
    assert str(problem) == ("guide.yaml:412:7: plans.ninety-days.steps[3].tasks[1].skill: "
                            "'vectors' is no skill of this guide; did you mean 'vector-search'?")


TASK = "plans.fortnight.steps[0].tasks[1]"


@pytest.mark.parametrize(("old", "new", "at", "says"), [
    # What the grammar refuses.
    ("  tagline: What one needs, and no more.\n", "", "title: A guide",
     "about.tagline: is missing; add it to what begins here"),
    ("  title: A guide", "  titel: A guide", "titel:",
     "about.titel: 'titel' is no key here; did you mean 'title'?"),
    ("        currency: USD", "        currency: usd", "usd",
     "tracks.products.pay[0].currency: 'usd' is no currency; write its three capitals, as in 'USD'"),
    ("reach: realistic", "reach: realstic", "realstic",
     "roles.ai-engineer.reach: 'realstic' is none of the choices; did you mean 'realistic'?"),
    ("grade: must", "grade: vital", "vital",
     "skills.python.grade: 'vital' is none of the choices; write one of 'must', 'differentiator', 'skip'"),
    ("stack: [Python]", "stack: Python", "Python\n",
     "tracks.products.stack: 'Python' is text, and a list is meant; write each entry on a line of its own, after '- '"),
    ("stack: [Python]", "stack: []", "[]", "tracks.products.stack: has no entries; write at least 1"),
    ("do: Build an index", "do: ['Costs: many']", "['Costs",
     TASK + ".do: is a list, and text is meant; put the whole text in quotes, "
     "for a ': ', '- ', '{' or '[' in it means something else to YAML"),
    ("rank: 1", 'rank: "1"', '"1"',
     "projects.assistant.rank: '1' is text, and a whole number is meant; write digits without quotes"),
    ("rank: 1", "rank: 0", "0\n    why: It shows", "projects.assistant.rank: 0 is out of range; write at least 1"),
    ("label: Hours", "label: " + "Hours" * 10, "HoursHours",
     "cohort.check_in.hours.label: is 50 characters long and may be 45; shorten it by 5"),
    ("label: Hours", 'label: ""', '""', "cohort.check_in.hours.label: is empty; write something"),
    ("not_for: Nobody else.", "not_for:", "not_for:",
     "about.not_for: is empty; write text, and put it in quotes when it begins with #"),
    ("low: 10,", "low: 10.1,", "10.1", "projects.assistant.hours.low: 10.1 is no multiple of 0.25; did you mean 10?"),
    ("do: Build an index", "do: |\n              Build\n              two", "|\n              Build",
     TASK + ".do: 'Build two' must be one line; take the line breaks out"),
    ("  ai-engineer:\n", "  AI engineer:\n", "AI engineer:",
     "roles.AI engineer: 'AI engineer' is no id; write lower-case words joined by hyphens, as in 'vector-search'"),
    # What YAML 1.1 makes of plain words.
    ("title: A guide", "title: NO", "NO",
     "about.title: YAML reads 'NO' as false, and text is meant; put it in quotes: \"NO\""),
    ("title: A guide", "title: 1.10", "1.10",
     "about.title: YAML reads '1.10' as the number 1.1, and text is meant; put it in quotes: \"1.10\""),
    ("title: A guide", "title: 12:30", "12:30",
     "about.title: YAML reads '12:30' as the number 750; put it in quotes: \"12:30\""),
    ("title: A guide", "title: 2026-11-21", "2026-11-21",
     "about.title: YAML reads '2026-11-21' as a date; put it in quotes: \"2026-11-21\""),
    ("title: A guide", "title: ~", "~",
     "about.title: YAML reads '~' as nothing, and text is meant; put it in quotes: \"~\""),
    ("year: 2026", "year: 03750", "03750",
     "sources.wrok.year: YAML reads '03750' as the number 2024; write 2024, or put it in quotes: \"03750\""),
    ('{day: 0, at: "09:00"', "{day: 0, at: 09:00", "09:00, ",
     "cohort.rhythm.week_opens.at: a time must be put in quotes, for YAML would read '10:00' as the number 600; "
     'put it in quotes: "09:00"'),
    ('{day: 0, at: "09:00"', "{day: 0, at: 9:30", "9:30",
     "cohort.rhythm.week_opens.at: YAML reads '9:30' as the number 570; put it in quotes: \"09:30\""),
    ('{day: 0, at: "09:00"', '{day: 0, at: "9:30"', '"9:30"',
     "cohort.rhythm.week_opens.at: '9:30' is no time of day; write hours and minutes in quotes, as in \"09:00\""),
    ('{day: 0, at: "09:00"', '{day: 0, at: "09:00Z"', '"09:00Z"',
     "cohort.rhythm.week_opens.at: '09:00Z' is no time of day; write hours and minutes in quotes, as in \"09:00\""),
    ("  title: A guide\n", "  title: A guide\n  on: x\n", "on: x",
     "about.on: YAML reads the key 'on' as true; put it in quotes: \"on\""),
    ("  title: A guide\n", "  title: A guide\n  title: B\n", "title: B",
     "about.title: 'title' stands here twice, first in line 2; keep one of them"),
    ("title: A guide", "title: !!python/name:os.system x", "!!python",
     "about.title: the tag '!!python/name:os.system' means nothing to a guide; take it out"),
    ("  title: A guide\n", "  title: A guide\n  <<: {}\n", "<<:",
     "about.<<: '<<' merges mappings, and a guide does not; write the keys out"),
    ("title: A guide", 'title: "A\\0guide"', '"A',
     "about.title: the character U+0000 cannot stand in a guide; take it out"),
    # What is no YAML.
    ("  title: A guide", "\ttitle: A guide", "\ttitle",
     "yaml: a tab stands here, and YAML is indented with spaces; replace it"),
    ("title: A guide", "title: A guide: mine", ": mine",
     "yaml: a ': ' stands where none can; put a text with ': ' in it in quotes, "
     "or bring the line into line with its neighbours"),
    ("title: A guide", "title: [@wrok] says so", "@wrok",
     "yaml: a text cannot begin with '@'; put the whole text in quotes"),
    ("title: A guide", "title: 'A guide", "'A guide",
     "yaml: these quotes are never closed; close them, and double a ' inside of '…'"),
    ("title: A guide", "title: 'A' guide", "guide", "yaml: this line does not go on with what surrounds it; mend its "
     "indentation, or put a text that begins with a quote or a bracket wholly in quotes"),
    ("kind: Blog", "kind: *blog", "*blog",
     "yaml: this alias has no anchor above it; write the value out, or quote a text that begins with '*'"),
    ("plans:\n", "---\nplans:\n", "---", "yaml: a second document begins here; take the '---' out"),
    # What only the whole file can tell.
    ("skill: vector-search", "skill: vectors", "vectors\n            project",
     TASK + ".skill: 'vectors' is no skill of this guide; did you mean 'vector-search'?"),
    ("project: assistant", "project: agent", "agent",
     TASK + ".project: 'agent' is no project of this guide; write 'assistant'"),
    ("tracks: [products]", "tracks: [product]", "product]",
     "roles.ai-engineer.tracks[0]: 'product' is no track of this guide; did you mean 'products'?"),
    ("  plan: fortnight", "  plan: fortnite", "fortnite",
     "cohort.plan: 'fortnite' is no plan of this guide; did you mean 'fortnight'?"),
    ("    So does pay.", "    So does [@work] pay.", "[@work]",
     "about.promise: 'work' is no source of this guide; did you mean 'wrok'?"),
    ("    sources: []", "    builds_on: [vector-search]\n    sources: []", "vector-search]",
     "skills.python.builds_on[0]: 'python' builds on itself, python → vector-search → python; "
     "take one of these out"),
    ("id: build-index", "id: read", "read\n            do: Build",
     TASK + ".id: 'read' is the id of another task already, in line 109; give this one its own"),
    ("id: golden-set", "id: read", "read\n            do: Write",
     "plans.fortnight.steps[1].tasks[0].id: 'read' is the id of another task already, in line 109; "
     "give this one its own"),
    ("id: week-2", "id: week-1", "week-1\n        title: Measure",
     "plans.fortnight.steps[1].id: 'week-1' is the id of another step already, in line 101; give this one its own"),
    ("hours: 6\n", "hours: 7\n", "7\n        goal",
     "plans.fortnight.steps[0].hours: 7 hours are planned and the tasks take 6; write 6 or change the tasks"),
    ("{low: 4, high: 8}", "{low: 4, high: 5.75}", "6\n        goal",
     "plans.fortnight.steps[0].hours: 6 hours do not fit into 7 days at 4 to 5.75 hours a week; "
     "plan 4 to 5.75, or change 'hours_per_week'"),
    ("days: 14", "days: 13", "13\n",
     "plans.fortnight.days: the plan has 13 days and its steps cover 14; write 14 or change the days of a step"),
    ("weight: must", "weight: stretch", "tasks:\n          - id: read",
     "plans.fortnight.steps[0].tasks: all tasks of this step are stretch; give one of them 'weight: must'"),
    ("[Seldom., Mostly.]", "[Seldom.]", "levels: [Seldom.]",
     "projects.assistant.rubric.criteria[0].levels: describes 1 of the rubric's 2 levels; "
     "write one text for each of 'weak', 'strong'"),
    ("low: 150", "low: 250", "250", "tracks.products.pay[0].low: low is 250 and high is 200; "
     "exchange them or correct one"),
    ("{low: 10, high: 20}", "{low: 30, high: 20}", "30", "projects.assistant.hours.low: low is 30 and high is 20; "
     "exchange them or correct one"),
    ("[Lost, Getting there, Sure]", "[Lost, Sure, Lost]", "Lost]",
     "cohort.check_in.confidence.options[2]: 'Lost' is an option already, in line 177; take one out"),
    # What the voice cannot be filled with.
    ("Report {count}", "Report {cuont}", "{cuont}",
     "voice.report.body: '{cuont}' is no placeholder of this text; did you mean 'count'?"),
    ("Report {count}", "Report {count!r}", "{count!r}", "voice.report.body: '{count!r}' says more than a name; "
     "write '{count}'"),
    ("Report {count}", "Report {count.first}", "{count.first}",
     "voice.report.body: '{count.first}' says more than a name; write '{count}'"),
    ("Report {count}", "Report {count", "{count\"",
     "voice.report.body: a '{' stands here alone; close the placeholder as in '{name}', or take the brace out"),
    ("Report {count}", "Report {}", "{}",
     "voice.report.body: '{}' names no placeholder; write 'count'"),
    ("Last step done", "Last {step} done", "{step} done",
     "voice.last_step_done: '{step}' cannot be filled, for this text has no placeholders; take it out"),
    ("Bad link {given}", "Bad link {gven}", "{gven}",
     "voice.refusals.bad_link: '{gven}' is no placeholder of this text; did you mean 'given'?"),
])
def test_a_broken_guide_is_refused_with_place_reason_and_cure(old: str, new: str, at: str, says: str) -> None:
    """One slip, one problem, and nobody has to search for it."""
    text = edited((old, new))
    assert problems(text) == [f"guide.yaml:{place(text, at)}: {says}"]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    """Traps, grammar and the whole file in one answer; whoever mends it does so once."""
    text = edited(("title: A guide", "title: NO"), ("    rank: 1\n", ""), ("skill: vector-search", "skill: vectors"),
                  ("at: \"18:00\"", "at: 18:00"), ("Report {count}", "Report {cuont}"))
    assert problems(text) == [
        "guide.yaml:2:10: about.title: YAML reads 'NO' as false, and text is meant; put it in quotes: \"NO\"",
        "guide.yaml:73:5: projects.assistant.rank: is missing; add it to what begins here",
        "guide.yaml:122:20: plans.fortnight.steps[0].tasks[1].skill: 'vectors' is no skill of this guide; "
        "did you mean 'vector-search'?",
        "guide.yaml:152:25: cohort.rhythm.nudge.at: YAML reads '18:00' as the number 1080; put it in quotes: \"18:00\"",
        f"guide.yaml:{place(text, '{cuont}')}: voice.report.body: '{{cuont}}' is no placeholder of this text; "
        "did you mean 'count'?",
    ]


def test_two_projects_cannot_have_one_rank() -> None:
    plain = yaml.safe_load(SMALL)
    plain["projects"]["agent"] = plain["projects"]["assistant"]
    text = json.dumps(plain, indent=1)      # JSON is YAML, and quotes its times
    first, second = (index + 1 for index, line in enumerate(text.splitlines()) if '"rank"' in line)
    assert problems(text) == [f"guide.yaml:{second}:12: projects.agent.rank: 1 is the rank of another project already, "
                              f"in line {first}; rank them anew"]


def test_a_yes_is_true_where_a_truth_is_meant() -> None:
    assert parse(edited(("late_keeps_streak: false", "late_keeps_streak: yes"))).cohort.scoring.late_keeps_streak


def test_an_alias_stands_for_its_anchor() -> None:
    """Two rubrics may share their levels; only merge keys are refused."""
    text = edited(("levels: [Seldom., Mostly.]", "levels: &both [Seldom., Mostly.]"),
                  ("levels: [No., Yes.]", "levels: *both"))
    assert parse(text).projects["assistant"].rubric.criteria[1].levels == ("Seldom.", "Mostly.")


def test_an_alias_inside_its_anchor_has_no_bottom() -> None:
    assert problems("a: &a [*a]") == [
        "guide.yaml:1:4: guide: goes more than 30 levels deep here; close what was opened before"]


def test_aliases_of_aliases_are_stopped() -> None:
    """Nine lines would make a billion values."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{x}: &{x} [{', '.join(['*' + y] * 10)}]" for y, x in zip("abcdefgh", "bcdefghi", strict=True)]
    assert problems("\n".join(lines))[-1].endswith("makes more than 300,000 values of this file; use fewer aliases")


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_a_text_of_nothing_but_openings_is_refused_before_the_parser_falls(opener: str) -> None:
    """libyaml takes the whole process with it some levels down."""
    assert "levels deep" in problems(opener * 100_000)[0]


@pytest.mark.parametrize(("text", "says"), [
    ("", "guide.yaml:1:1: guide: is empty; write the guide here, its first key is 'about'"),
    ("# nothing yet\n", "guide.yaml:1:1: guide: is empty; write the guide here, its first key is 'about'"),
    ("- about\n", "guide.yaml:1:1: guide: must be a mapping; begin with 'about:' and indent what belongs to it"),
    ("about: \x07\n", "guide.yaml:1:8: guide: the character U+0007 cannot stand in YAML; take it out"),
    ("about: \ud800\n", "guide.yaml:1:8: guide: the character U+D800 cannot stand in YAML; take it out"),
])
def test_what_is_no_guide_at_all_is_refused(text: str, says: str) -> None:
    assert problems(text) == [says]


def test_files_that_cannot_be_read_are_refused_as_guides_are(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("about:\n  title: Für alle\n".encode("latin-1"))
    missing = tmp_path / "missing.yaml"

    def refused(path: Path) -> str:
        with pytest.raises(GuideError) as error:
            load(path)
        return str(error.value)

    assert [refused(latin), refused(missing), refused(tmp_path)] == [
        "latin.yaml:2:11: guide: is not UTF-8 from here on; save the file as UTF-8",
        f"missing.yaml:1:1: guide: there is no file '{missing}'; check the name, or begin with a copy of our guide",
        f"{tmp_path.name}:1:1: guide: '{tmp_path}' is a folder; name the file in it",
    ]


def test_the_slower_reader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML comes without libyaml."""
    fast = parse(SMALL)
    broken = edited(("title: A guide", "title: NO"), ("skill: vector-search", "skill: vectors"))
    told = problems(broken)
    monkeypatch.setattr(loading, "_loader", yaml.SafeLoader)
    assert (parse(SMALL), problems(broken)) == (fast, told)


def test_no_reference_in_the_grammar_goes_unchecked() -> None:
    """Who adds a `SkillId` to the grammar must add its place to the check."""
    sections = {"SourceId": "sources", "TrackId": "tracks", "SkillId": "skills", "ProjectId": "projects",
                "RoleId": "roles", "PlanId": "plans"}

    def places(kind: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
        for name, field in kind.model_fields.items():
            written = str(kind.__annotations__[name])
            here = f"{path}{name}" + (".*" if "dict[" in written or "tuple[" in written else "")
            inner = [word for word in written.replace("[", " ").replace("]", " ").replace(",", " ").split()
                     if isinstance(getattr(model, word, None), type)
                     and issubclass(getattr(model, word), BaseModel)]
            if inner:
                yield from places(getattr(model, inner[0]), here + ".")
            else:
                yield from ((here, section) for word, section in sections.items() if word in written)
            assert field is not None

    found = dict(places(Guide, ""))
    assert found.pop("quiz.questions.*.options.*.weights.*") == "tracks"     # keys, not values: a check of their own
    assert found == loading._REFERENCES


def test_an_answer_that_speaks_for_no_track_is_refused() -> None:
    text = edited(("weights: {products: 3}", "weights: {product: 3}"))
    line = place(text, "product: 3").split(":")[0]
    (told,) = problems(text)
    assert told.startswith(f"guide.yaml:{line}:")
    assert told.endswith("quiz.questions[0].options[0].weights.product: 'product' is no track of this guide; "
                         "did you mean 'products'?")


def test_two_questions_have_two_ids() -> None:
    text = edited(("- id: past", "- id: liking"), ("{id: chips,", "{id: web,"))
    assert [problem.split(": ", 2)[1] for problem in problems(text)] == [
        "quiz.questions[1].id", "quiz.questions[1].options[1].id"]


@settings(max_examples=150)
@given(st.data())
def test_a_mutilated_guide_loads_or_is_refused_and_nothing_else(data: st.DataObject) -> None:
    """Whatever an editor leaves behind, the author reads problems and never a traceback."""
    text = SMALL
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        scraps = st.sampled_from(["", "\t", "{", "}", "[", "- ", ": ", "'", '"', "&a ", "*a", "!!int ", "? ", "|\n",
                                  ">", "NO", "12:30", "1.10", "2026-02-30", "~", "<<: ", "[@x]", ".nan", "0x", "1_0",
                                  "%", "\r", "\u2028", "9" * 400])
        text = text[:start] + data.draw(scraps | st.text(max_size=8)) + text[end:]
    try:
        parse(text)
    except GuideError as error:
        lines = len(text.splitlines())
        assert error.problems
        assert all("\n" not in str(p) and 1 <= p.line <= lines + 1 and p.column >= 1 for p in error.problems)
        assert not any("pydantic" in str(p) or "Input should" in str(p) for p in error.problems)


Tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5)


@settings(max_examples=75)
@given(st.data())
def test_a_guide_with_anything_in_one_place_loads_or_is_refused(data: st.DataObject) -> None:
    """The shape is valid YAML and wrong for the grammar; every check must bear it."""
    plain = node = yaml.safe_load(SMALL)
    while True:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(Tree)
    try:
        parse(yaml.dump(plain, allow_unicode=True).replace("at: 09:00", 'at: "09:00"'))
    except GuideError as error:
        assert error.problems
        assert not any("Input should" in str(p) for p in error.problems)


def test_a_guide_of_4000_lines_loads_in_less_than_four_times_what_yaml_alone_takes() -> None:
    """`mkdocs serve` loads it at each save: in a tenth of a second, where that was measured."""
    plain = yaml.safe_load(SMALL)
    skill = plain["skills"]["python"]
    plain["skills"].update({f"skill-{n}": skill for n in range(500)})
    text = json.dumps(plain, indent=1)
    assert text.count("\n") > 4_000

    def taken(load: Callable[[], object]) -> float:
        start = time.process_time()
        load()
        return time.process_time() - start

    ours, bare = zip(*((taken(lambda: parse(text)), taken(lambda: yaml.load(text, yaml.CSafeLoader)))
                       for _ in range(5)), strict=True)
    assert min(ours) < 4 * min(bare)
