"""What a reader keeps for themselves, in a real browser: ticks, dates, answers, a calendar, and all of it as a file."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from icalendar import Calendar

from content.model import Plan
from docs.calendar_files import calendar
from scheduler.calendar import instant
from tests.browser.test_site import SHOTS, contrast
from tests.content.build import SMALL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[2]
WEEK, PLAN, MINE = "plans/fortnight/week-1/", "plans/fortnight/", "my-plan/"
TO = "\N{EN DASH}"
READ = "Done: Read about vectors"


def guide() -> dict[str, Any]:
    """The small guide with a second track, so that a quiz has something to decide."""
    plain: dict[str, Any] = yaml.safe_load(SMALL)
    plain["tracks"]["platforms"] = {**copy.deepcopy(plain["tracks"]["products"]), "title": "Platforms"}
    for question, (one, other) in zip(plain["quiz"]["questions"], ((3, 0), (2, 3), (1, 3)), strict=True):
        question["options"][0]["weights"] = {"products": one}
        question["options"][1]["weights"] = {"products": 0, "platforms": other}
    return plain


def reworded() -> dict[str, Any]:
    """Every word of the tasks is another, and their order; the ids are the same."""
    plain = guide()
    for step in plain["plans"]["fortnight"]["steps"]:
        step["title"] = f"New title of {step['id']}"
        step["tasks"] = [{**task, "do": f"Now do {task['id']}"} for task in reversed(step["tasks"])]
    return plain


def built(folder: Path, words: dict[str, Any], features: str = "") -> Path:
    folder.mkdir()
    (folder / "guide.yaml").write_text(json.dumps(words, ensure_ascii=False, indent=1))     # JSON is YAML
    (folder / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: {ROOT}/docs\nplugins:\n  ninety:\n    guide: guide.yaml\n"
        f"theme:\n  custom_dir: {ROOT}/docs/theme\n{features}")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-f", str(folder / "mkdocs.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120,  # noqa: S603  ours
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "site"


class Site:
    """A folder on a port of this machine; another folder can take its place at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = self

        class Quiet(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(site.folder))

            def log_message(self, format: str, *values: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("personal")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    serving = Site(built(folder / "small", guide()))
    yield serving
    serving.close()


Open = Callable[..., "BrowserContext"]


@pytest.fixture
def reader(browser: Browser, site: Site) -> Iterator[Open]:
    """A new browser profile. The test fails when a page of it complains, or asks another host."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def open_profile(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"base_url": site.url, "service_workers": "block", "locale": "en-GB",
                                         **options})
        context.set_default_timeout(5000)
        contexts.append(context)
        context.on("request", lambda asked: None if asked.url.startswith((site.url, "data:", "blob:"))
                   else trouble.append(f"asked {asked.url}"))
        context.on("console", lambda said: trouble.append(said.text) if said.type in ("error", "warning") and
                   "Service Worker registration blocked" not in said.text else None)
        # Where storage is blocked, Material's own scripts throw; ours must not.
        context.on("weberror", lambda error: None if error.error.message == "blocked" and
                   "assets/js/" not in (error.error.stack or "") else trouble.append(str(error.error)))
        return context

    yield open_profile
    for context in contexts:
        context.close()
    assert trouble == []


def at(context: BrowserContext, place: str) -> Page:
    page = context.new_page()
    page.goto(place)
    return page


def stored(page: Page) -> Any:
    return json.loads(page.evaluate("localStorage.getItem('ninety')"))


def dated(context: BrowserContext, start: str, hours: str) -> Page:
    """The overview of the plan, told a start and hours a week."""
    page = at(context, PLAN)
    page.get_by_label("I start on").fill(start)
    page.get_by_label("Hours a week I have").fill(hours)
    page.get_by_role("button", name="Show my dates").click()
    return page


# --- ticks ------------------------------------------------------------------------------------------------------------


def test_a_tick_shows_on_the_week_the_overview_the_ruler_and_my_plan(reader: Open) -> None:
    context = reader()
    page = at(context, WEEK)
    page.get_by_role("checkbox", name=READ).check()
    assert page.locator(".step .of").inner_text() == "1 of 2 done"
    assert page.get_by_text("The must tasks are done; 4 h would stretch you further.").is_visible()
    assert page.locator(".ruler strong").inner_text().replace("\n", "") == "1, 1 of 2 done"
    page.goto(PLAN)
    assert page.locator(".yours").first.inner_text() == "1 of 2 done"
    assert page.locator(".bar .of").all_inner_texts() == ["1 of 3", "1 of 2", "0 of 1"]
    page.goto(MINE)
    page.get_by_text("By skill").click()
    assert page.get_by_role("progressbar", name="Python").get_attribute("value") == "1"
    assert page.get_by_role("progressbar", name="Vector search").get_attribute("value") == "0"
    page.goto("")
    page.get_by_role("link", name="Go on with week 2").click()
    assert page.url.endswith("week-2/")


def test_ticks_survive_an_edit_of_the_texts(reader: Open, site: Site, folder: Path) -> None:
    context, first = reader(), site.folder
    at(context, WEEK).get_by_role("checkbox", name=READ).check()
    site.folder = built(folder / "reworded", reworded())
    try:
        page = at(context, WEEK)
        assert page.get_by_role("checkbox", name="Done: Now do read").is_checked()
        assert not page.get_by_role("checkbox", name="Done: Now do build-index").is_checked()
    finally:
        site.folder = first


def test_a_task_that_left_the_guide_is_kept_but_not_counted(reader: Open) -> None:
    page = at(reader(), WEEK)
    page.evaluate("localStorage.setItem('ninety', JSON.stringify({ninety: 1, done: {'fortnight/gone': '2026-12-01'}}))")
    page.reload()
    page.get_by_role("checkbox", name=READ).check()
    assert page.locator(".step .of").inner_text() == "1 of 2 done"
    assert set(stored(page)["done"]) == {"fortnight/gone", "fortnight/read"}


def test_two_tabs_show_the_same_and_lose_nothing_of_each_other(reader: Open) -> None:
    context = reader()
    one, other = at(context, WEEK), at(context, WEEK)
    one.get_by_role("checkbox", name=READ).check()
    other.wait_for_function("document.querySelector('.mark input').checked")
    other.get_by_role("checkbox", name="Done: Build an index").check()
    one.wait_for_function("document.querySelectorAll('.mark input:checked').length === 2")
    other.get_by_role("checkbox", name=READ).uncheck()
    one.wait_for_function("!document.querySelector('.mark input').checked")
    assert list(stored(one)["done"]) == ["fortnight/build-index"]


def test_a_keyboard_is_enough_and_a_screen_reader_hears_it(reader: Open) -> None:
    page = at(reader(), WEEK)
    page.locator(".mark input").first.wait_for()
    page.locator(".step a").last.focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type === 'checkbox'"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    said = page.get_by_role("status").filter(has_text="Done: Read about vectors")
    said.wait_for(state="attached")
    page.keyboard.press("Space")
    page.get_by_role("status").filter(has_text="Not done: Read about vectors").wait_for(state="attached")
    page.goto(MINE)
    page.get_by_role("button", name="Save as a file").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Delete everything"


def test_it_lives_on_when_pages_are_swapped_in(browser: Browser, site: Site, folder: Path) -> None:
    """With Material's navigation.instant a link loads no new document."""
    features = "  features: [navigation.instant]\nsite_url: {url}\n"
    serving = Site(folder)
    try:
        serving.folder = built(folder / "instant", guide(), features.format(url=serving.url))
        context = browser.new_context(base_url=serving.url, service_workers="block")
        page = at(context, PLAN)
        page.evaluate("window.same = true")
        page.get_by_role("article").get_by_role("link", name="Find things").click()
        page.wait_for_url("**/week-1/")
        page.get_by_role("checkbox", name=READ).check()
        page.get_by_role("link", name="Give the plan your own dates").click()
        page.locator(".yours", has_text="1 of 2 done").wait_for()
        assert page.evaluate("window.same")
        assert page.locator(".yours").count() == 2
        context.close()
    finally:
        serving.close()


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "America/Havana"])
def test_days_are_days_in_every_zone(reader: Open, zone: str) -> None:
    """Over the clock changes of spring, also where midnight itself is skipped (Havana, 14 March 2027)."""
    page = dated(reader(timezone_id=zone), "2027-03-08", "8")
    assert page.locator(".out").get_by_text("You end on Sunday, 21 March 2027, after 14 days.").is_visible()
    assert page.locator(".out").get_by_text("8 hours a week are enough: the fullest week needs 6.").is_visible()
    assert [re.sub(r"\s", "", row) for row in page.locator(".yours").all_inner_texts()] == [
        f"8{TO}14March·0of2done", f"15{TO}21March·0of1done"]


def test_fewer_hours_stretch_the_plan_and_it_says_by_how_much(reader: Open) -> None:
    """Week 1 needs 6 hours and gets 4 in seven days: 10.5 days. Week 2 needs 5.5: 9.625. Together 20.125, so 21."""
    context = reader()
    page = dated(context, "2027-03-22", "4")
    out = page.locator(".dates + .out")
    assert out.inner_text().split("\n\n") == [
        "You end on Sunday, 11 April 2027, after 21 days.",
        "With 4 hours a week the plan takes 7 days longer than its 14, which would end on Sunday, 4 April 2027. "
        "Its fullest week needs 6 hours a week.",
        "With the must tasks alone you would end on Wednesday, 7 April 2027, after 17 days."]
    again = at(context, PLAN)
    assert again.get_by_label("I start on").input_value() == "2027-03-22"
    again.goto(WEEK)
    assert re.sub(r"\s", " ", again.locator(".when strong").inner_text()) == f"22 March {TO} 1 April"
    again.goto(PLAN)
    again.get_by_role("button", name="Forget the dates").click()
    assert again.locator(".yours").first.inner_text() == "" and stored(again)["plans"] == {}


@pytest.mark.parametrize(("start", "hours", "words"), [
    ("", "5", "Give a day to start on"), ("2027-01-04", "0", "Give the hours a week"),
    ("2027-01-04", "", "Give the hours a week")])
def test_a_date_or_hours_that_cannot_be_are_refused_in_words(reader: Open, start: str, hours: str, words: str) -> None:
    page = dated(reader(), start, hours)
    assert page.get_by_text(words).first.is_visible()
    assert page.evaluate("localStorage.getItem('ninety')") is None


def test_the_schedule_adds_up(reader: Open) -> None:
    """Steps follow without gap; rounding costs less than a day; more hours never mean a later end."""
    page = at(reader(), "")
    ends = page.evaluate("""async () => {
        const {schedule, plus} = await import("/assets/js/dates.js");
        const steps = Array.from({length: 13}, (_, i) => (
            {days: i < 12 ? 7 : 6, tasks: [{hours: 5 + i % 4, weight: "must"}]}));
        const ends = [];
        for (let hours = .5; hours <= 12; hours += .25) {
            const found = schedule({steps, days: 90}, "2027-01-01", hours);
            found.steps.forEach((step, i) => {
                const first = i ? plus(found.steps[i - 1].last, 1) : "2027-01-01";
                if (step.first !== first || step.last < first) throw Error("gap");
            });
            let ideal = 0;
            for (const {days, tasks} of steps) ideal += Math.max(days, tasks[0].hours * 7 / hours);
            if (found.days < ideal - 1e-6 || found.days >= ideal + 1) throw Error(`${found.days} for ${ideal}`);
            ends.push(found.days);
        }
        return ends;
    }""")
    assert ends == sorted(ends, reverse=True) and ends[-1] == 90


def test_a_local_time_becomes_the_same_instant_as_in_the_cohort(reader: Open) -> None:
    """Also one that does not exist, one that exists twice, and the day that Apia left out."""
    wanted = [
        ("2027-03-28", "02:30", "Europe/Berlin"), ("2027-10-31", "02:30", "Europe/Berlin"),
        ("2027-03-14", "02:15", "America/New_York"), ("2027-11-07", "01:30", "America/New_York"),
        ("2027-04-04", "01:45", "Australia/Lord_Howe"), ("2027-10-03", "02:10", "Australia/Lord_Howe"),
        ("2027-03-14", "00:30", "America/Havana"), ("2011-12-30", "09:00", "Pacific/Apia"),
        ("2027-06-01", "09:00", "Asia/Kathmandu"), ("2027-01-01", "00:00", "Pacific/Kiritimati")]
    found = at(reader(), "").evaluate("""async wanted => {
        const {instant} = await import("/assets/js/dates.js");
        return wanted.map(one => instant(...one) / 1000);
    }""", wanted)
    assert [datetime.fromtimestamp(second, UTC) for second in found] == [
        instant(date.fromisoformat(day), time.fromisoformat(clock), ZoneInfo(zone)) for day, clock, zone in wanted]


# --- calendar ---------------------------------------------------------------------------------------------------------


def calendar_file(page: Page) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the .ics file").click()
    assert download.value.suggested_filename == "fortnight-2027-03-22.ics"
    text = download.value.path().read_bytes().decode()
    assert "\n" not in text.replace("\r\n", "") and max(len(line.encode()) for line in text.split("\r\n")) <= 75
    return text


def test_whole_days_in_the_calendar_are_those_on_the_page(reader: Open, site: Site) -> None:
    page = dated(reader(), "2027-03-22", "4")
    page.get_by_text("Put it in your calendar").click()
    events = Calendar.from_ical(calendar_file(page)).events
    assert [(str(event["SUMMARY"]), event.start, event.end) for event in events] == [
        ("Week 1: Find things", date(2027, 3, 22), date(2027, 4, 2)),
        ("Week 2: Measure things", date(2027, 4, 2), date(2027, 4, 12))]
    assert f"- Build an index (4 h, stretch)\n\n{site.url}plans/fortnight/week-1/" in str(events[0]["DESCRIPTION"])
    fortnight = Plan.model_validate(guide()["plans"]["fortnight"], strict=False)
    static = Calendar.from_ical(calendar("fortnight", fortnight, date(2027, 3, 22))).events
    assert [event["UID"] for event in events] == [event["UID"] for event in static]
    assert {event.DTSTAMP.date() for event in events if event.DTSTAMP} == {datetime.now(UTC).date()}


def test_a_reminder_stays_at_nine_when_the_clocks_change(reader: Open) -> None:
    """Berlin is an hour ahead of UTC on 22 March 2027, two hours on 2 April."""
    context = reader(timezone_id="Europe/Berlin")
    page = dated(context, "2027-03-22", "4")
    page.get_by_text("Put it in your calendar").click()
    whole_days = Calendar.from_ical(calendar_file(page)).events
    page.get_by_label("a reminder on its first day").check()
    assert page.get_by_label("Time zone").input_value() == "Europe/Berlin"
    page.get_by_label("Time zone").fill("Europe/Berln")
    page.get_by_role("button", name="Save the .ics file").click()
    assert page.get_by_text("There is no time zone “Europe/Berln”").is_visible()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    events = Calendar.from_ical(calendar_file(page)).events
    assert [event.start for event in events] == [
        datetime(2027, 3, 22, 8, tzinfo=UTC), datetime(2027, 4, 2, 7, tzinfo=UTC)]
    assert all(len(event.alarms.times) == 1 for event in events)
    assert [event["UID"] for event in events] == [event["UID"] for event in whole_days]


def test_words_pass_through_the_file_unharmed(reader: Open) -> None:
    title = "Ünïcödé; a, b \\ c\nBEGIN:VEVENT 🙂" + "ж" * 80
    text = at(reader(), "").evaluate("""async title => {
        const {calendar} = await import("/assets/js/calendar.js");
        const step = {id: "one", name: "Week 1", title, goal: "g", url: "x/", tasks: []};
        return calendar("p", {title, steps: [step]}, "2027-01-04", [{first: "2027-01-04", last: "2027-01-10"}], null,
                        "http://here/", 0);
    }""", title)
    events = Calendar.from_ical(text).events
    assert [str(event["SUMMARY"]) for event in events] == [f"Week 1: {title}"]
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75


# --- quiz and assessment ----------------------------------------------------------------------------------------------


def test_the_quiz_explains_itself_is_remembered_and_can_be_changed(reader: Open) -> None:
    context = reader()
    page = at(context, "which-track/")
    page.get_by_role("radio", name="People").check()
    assert page.locator("[data-ninety=quiz-plain]").is_hidden()
    assert page.locator(".verdict").inner_text() == "Products fits you best, by your answers."
    assert page.get_by_text("So far: 1 of 3 questions answered.").is_visible()
    assert page.locator(".track.best li").all_inner_texts() == [
        "+3 “People” speaks for it, because people use products"]
    page.get_by_role("radio", name="Chips").check()
    assert page.locator(".verdict").inner_text().startswith("A tie, with 3 points each: Products and Platforms.")
    page = at(context, "which-track/")
    assert page.get_by_role("radio", name="Chips").is_checked()
    page.get_by_role("radio", name="Much").check()
    assert page.locator(".verdict").inner_text() == "Platforms fits you best, by your answers."
    assert page.locator(".track .of").all_inner_texts() == ["6 of 6", "3 of 6"]
    page.goto(MINE)
    page.get_by_text("Platforms fits you best, by your answers.").wait_for()
    page.goto("which-track/")
    page.get_by_role("button", name="Clear my answers").click()
    assert page.locator(":checked[type=radio]").count() == 0


def test_the_assessment_shows_the_gap_and_the_weeks_that_close_it(reader: Open) -> None:
    context = reader()
    page = at(context, "where-am-i/")
    page.get_by_label("Vector search").select_option(label="0 · Never heard of it")
    page.get_by_label("Python").select_option(label="3 · Could teach it")
    gap = page.locator(".gap")
    assert gap.locator("h3").all_inner_texts() == ["Vector search"]
    assert "2 levels to go" in gap.inner_text()
    assert [re.sub(r"\s", " ", line) for line in gap.locator("li").all_inner_texts()] == [
        "A fortnight: week 1 (4 h), week 2 (5.5 h)"]
    week = at(context, WEEK)
    week.get_by_role("checkbox", name="Done: Build an index").check()
    gap.get_by_text("week 1").wait_for(state="detached")
    page.reload()
    gap.get_by_role("link", name="week 2").click()
    assert page.url.endswith("plans/fortnight/week-2/#golden-set")


def test_links_into_the_readable_parts_lead_to_what_took_their_place(reader: Open) -> None:
    """Those of the contents too: the ids moved."""
    page = at(reader(viewport={"width": 1280, "height": 400}), "where-am-i/#skill-vector-search")
    page.locator(".rate#skill-vector-search").wait_for()
    page.wait_for_function("scrollY > 0")
    page.goto("which-track/")
    page.locator("fieldset#time").wait_for()
    assert page.locator("#time").count() == 1


# --- the reader's data ------------------------------------------------------------------------------------------------


def take_over(page: Page, content: object, how: str = "add to what is here") -> str:
    """Imports the file; what the page says to it."""
    text = content if isinstance(content, str) else json.dumps(content)
    if not page.locator("#import-file").is_visible():
        page.get_by_text("Take over a saved file").click()
    page.locator("#import-file").set_input_files({"name": "x.json", "mimeType": "application/json",
                                                  "buffer": text.encode()})
    page.get_by_label(how).check()
    page.locator(".told").evaluate("told => { told.textContent = '' }")
    page.get_by_role("button", name="Take it over").click()
    page.locator(".told:not(:empty)").wait_for()
    return page.locator(".told").inner_text()


def test_what_is_saved_comes_back_elsewhere(reader: Open) -> None:
    here = reader()
    at(here, WEEK).get_by_role("checkbox", name=READ).check()
    dated(here, "2027-03-22", "4")
    page = at(here, MINE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    saved = download.value.path().read_text()
    elsewhere = at(reader(), MINE)
    assert take_over(elsewhere, saved) == "Taken over: 1 tick."
    assert stored(elsewhere) == stored(page)
    assert elsewhere.get_by_role("link", name="A fortnight").is_visible()


def test_a_file_adds_or_replaces_by_choice(reader: Open) -> None:
    page = at(reader(), MINE)
    take_over(page, {"ninety": 1, "done": {"fortnight/read": "2026-12-01"}, "levels": {"python": 1}})
    theirs = {"ninety": 1, "done": {"fortnight/golden-set": "2026-12-02"}, "levels": {"python": 3}}
    take_over(page, theirs)
    assert set(stored(page)["done"]) == {"fortnight/read", "fortnight/golden-set"}
    assert stored(page)["levels"] == {"python": 1}
    take_over(page, theirs, "replace what is here")
    assert set(stored(page)["done"]) == {"fortnight/golden-set"} and stored(page)["levels"] == {"python": 3}


@pytest.mark.parametrize(("content", "words"), [
    ("not json", "This is not a file that was saved here: it is not JSON. Nothing was changed."),
    ({"tasks": []}, "This file comes from somewhere else. Nothing was changed."),
    ([1], "This file comes from somewhere else. Nothing was changed."),
    ("null", "This file comes from somewhere else. Nothing was changed."),
    ({"ninety": 99}, "This was saved by a newer version of this site. Reload the page, then try again. "
                     "Nothing was changed."),
    ("x" * 1_000_001, "This file is far too large to be one of ours. Nothing was changed.")])
def test_a_foreign_file_is_refused_with_words(reader: Open, content: object, words: str) -> None:
    page = at(reader(), MINE)
    take_over(page, {"ninety": 1, "done": {"fortnight/read": "2026-12-01"}})
    assert take_over(page, content, "replace what is here") == words
    assert stored(page)["done"] == {"fortnight/read": "2026-12-01"}


def test_bad_entries_of_a_good_file_stay_out_and_are_counted(reader: Open) -> None:
    page = at(reader(), MINE)
    said = take_over(page, '{"ninety": 1, "done": {"fortnight/read": "2026-12-01", "no": "2026-12-01", '
                           '"fortnight/golden-set": "2026-02-30", "__proto__": "2026-12-01"}, '
                           '"levels": {"python": "3", "constructor": 1}, "plans": {"fortnight": {"start": "soon"}}, '
                           '"quiz": [1]}')
    assert said == "Taken over: 1 tick. 6 entries of the file could not be understood and stayed out."
    assert page.evaluate("({}).polluted") is None
    assert stored(page)["done"] == {"fortnight/read": "2026-12-01"}


def test_everything_is_deleted_only_when_confirmed(reader: Open) -> None:
    context = reader()
    at(context, WEEK).get_by_role("checkbox", name=READ).check()
    page = at(context, MINE)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete everything").click()
    assert stored(page)["done"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete everything").click()
    assert page.get_by_text("Everything is deleted.").is_visible()
    assert page.evaluate("localStorage.getItem('ninety')") is None
    assert page.get_by_text("You have not begun a plan here.").is_visible()


# --- storage that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rubbish", ["{", '"text"', "[]", '{"ninety": "x"}', '{"ninety": 1, "done": {"x": 1}}'])
def test_rubbish_in_storage_is_set_aside_not_deleted(reader: Open, rubbish: str) -> None:
    context = reader()
    page = at(context, WEEK)
    page.evaluate("text => localStorage.setItem('ninety', text)", rubbish)
    page.reload()
    page.get_by_role("checkbox", name=READ).check()
    assert page.get_by_role("alert").get_by_text("could not be read in full. The original is set aside").is_visible()
    assert "fortnight/read" in stored(page)["done"]
    page.goto(MINE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save what could not be read").click()
    assert download.value.path().read_text() == rubbish


def test_progress_of_a_newer_version_is_not_written_over(reader: Open) -> None:
    page = at(reader(), WEEK)
    newer = '{"ninety": 99, "ticks": "of another kind"}'
    page.evaluate("text => localStorage.setItem('ninety', text)", newer)
    page.reload()
    page.get_by_role("checkbox", name=READ).check()
    assert page.get_by_role("alert").get_by_text("A newer version of this site has saved your prog").is_visible()
    assert page.evaluate("localStorage.getItem('ninety')") == newer


@pytest.mark.parametrize(("breaks", "words"), [
    ("Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('blocked', 'SecurityError') }})",
     "This browser does not let the site remember anything."),
    ("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }",
     "This could not be saved: the browser's storage for this site is full.")])
def test_storage_that_is_blocked_or_full_is_told_and_nothing_breaks(reader: Open, breaks: str, words: str) -> None:
    """Ticks hold while the page is open, all of them."""
    context = reader()
    context.add_init_script(breaks)
    page = at(context, WEEK)
    page.get_by_role("checkbox", name=READ).check()
    page.get_by_role("checkbox", name="Done: Build an index").check()
    assert page.get_by_role("alert").get_by_text(words).is_visible()
    assert page.locator(".step .of").inner_text() == "all done"
    for place in (PLAN, MINE, "which-track/", "where-am-i/"):
        page.goto(place)
        page.locator(".personal").first.wait_for()


def test_data_that_cannot_be_had_leaves_the_ticks(reader: Open, browser: Browser, site: Site) -> None:
    context = browser.new_context(base_url=site.url, service_workers="block")
    context.route("**/data/*.json", lambda route: route.abort())
    page = at(context, WEEK)
    page.get_by_role("checkbox", name=READ).check()
    assert page.locator(".step .of").inner_text() == "1 of 2 done"
    page.get_by_text("This part of the page could not be loaded.").wait_for()
    page.goto("which-track/")
    page.get_by_text("This part of the page could not be loaded.").wait_for()
    assert page.locator("[data-ninety=quiz-plain]").is_visible()
    context.close()


# --- offline ----------------------------------------------------------------------------------------------------------


def test_pages_that_were_read_can_be_read_and_searched_offline(browser: Browser, site: Site) -> None:
    """With the server gone, as on a train."""
    serving = Site(site.folder)
    context = browser.new_context(base_url=serving.url)
    context.set_default_timeout(30_000)
    page = at(context, WEEK)
    page.wait_for_function("""async () => {
        for (const name of await caches.keys()) {
            const kept = (await (await caches.open(name)).keys()).map(({url}) => url);
            const all = ["week-1/", "search_index.json", "plan-fortnight.json", "ninety.js"];
            if (all.every(end => kept.some(url => url.endsWith(end)))) return true;
        }
    }""")
    page.goto(PLAN)
    page.locator(".yours").first.wait_for(state="attached")
    page.wait_for_function("""async () => Boolean(await caches.match(location.href))""")
    serving.close()
    page.goto(WEEK)
    page.get_by_role("checkbox", name=READ).check()
    page.get_by_label("Search").get_by_role("textbox").first.fill("vectors")
    page.locator(".md-search-result__link").first.wait_for()
    page.goto(PLAN)
    assert page.get_by_text("1 of 2 done", exact=True).is_visible()
    page.goto("plans/fortnight/week-2/")
    assert page.get_by_role("heading", name="You are offline").is_visible()
    context.close()


def test_the_whole_guide_can_be_kept_and_given_up_again(browser: Browser, site: Site) -> None:
    serving = Site(site.folder)
    context = browser.new_context(base_url=serving.url)
    context.set_default_timeout(30_000)
    page = at(context, MINE)
    page.get_by_role("button", name="Keep the whole guide").click()
    page.get_by_text(re.compile(r"\d\d pages kept; search works offline too")).wait_for()
    serving.close()
    page.goto("plans/fortnight/week-2/")
    assert page.get_by_role("checkbox", name="Done: Write fifty questions").is_visible()
    page.goto(MINE)
    page.get_by_label("Keep pages that I visit").uncheck()
    page.get_by_text("Nothing is kept for offline reading any more.").wait_for()
    assert page.evaluate("caches.keys()") == []
    assert page.evaluate("navigator.serviceWorker.getRegistrations().then(found => found.length)") == 0
    context.close()


def test_a_page_that_changed_is_never_shown_from_before(browser: Browser, site: Site, folder: Path) -> None:
    """While there is a network, what was kept is not asked."""
    serving = Site(built(folder / "before", guide()))
    context = browser.new_context(base_url=serving.url)
    page = at(context, WEEK)
    page.wait_for_function("navigator.serviceWorker.controller")
    page.reload()
    words = (serving.folder / WEEK / "index.html").read_text()
    (serving.folder / WEEK / "index.html").write_text(words.replace("Read about vectors", "Read about planes"))
    page.reload()
    assert page.get_by_role("heading", name="Read about planes").is_visible()
    context.close()
    serving.close()


def test_a_page_of_somebody_else_at_the_same_address_is_not_kept(browser: Browser, site: Site, folder: Path) -> None:
    """The chat of the demo lies below the guide."""
    serving = Site(built(folder / "shared", guide()))
    (serving.folder / "chat").mkdir()
    (serving.folder / "chat/index.html").write_text("<title>Chat</title>secret")
    context = browser.new_context(base_url=serving.url)
    page = at(context, WEEK)
    page.wait_for_function("navigator.serviceWorker.controller")
    page.goto("chat/")
    page.goto(PLAN)
    page.wait_for_function("caches.match(location.href).then(Boolean)")
    assert page.evaluate("caches.match('/chat/').then(Boolean)") is False
    context.close()
    serving.close()


# --- looks ------------------------------------------------------------------------------------------------------------

PLACES = {"my-week": WEEK, "my-overview": PLAN, "which-track": "which-track/", "where-am-i": "where-am-i/",
          "my-plan": MINE}


def in_use(context: BrowserContext) -> Page:
    """Everything on the pages that a reader who uses them sees."""
    page = dated(context, "2027-03-22", "4")
    page.goto(WEEK)
    page.get_by_role("checkbox", name=READ).check()
    page.goto("which-track/")
    page.get_by_role("radio", name="People").check()
    page.goto("where-am-i/")
    page.get_by_label("Vector search").select_option("1")
    return page


def test_nothing_is_wider_than_a_small_phone(reader: Open) -> None:
    page = in_use(reader(viewport={"width": 320, "height": 700}))
    wide = []
    for place in PLACES.values():
        page.goto(place)
        page.locator(".personal").first.wait_for()
        page.evaluate("document.querySelectorAll('.personal details').forEach(details => { details.open = true })")
        for radio in page.get_by_label("a reminder on its first day").all():
            radio.check()
        if (over := page.evaluate("document.documentElement.scrollWidth")) > 320:
            wide.append((place, over))
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_can_be_read_by_day_and_by_night(reader: Open, scheme: str) -> None:
    """4.5 to 1 at least, and pictures for people to look at."""
    SHOTS.mkdir(exist_ok=True)
    for width in (390, 1280):
        context = reader(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = in_use(context)
        for name, place in PLACES.items():
            page.goto(place)
            page.locator(".personal").first.wait_for()
            for selector in (".fine", ".of", ".yours", ".field span", "button", "button.quiet", ".go a", ".longer",
                             ".personal summary", ".option span", ".when", ".rate > label", ".verdict"):
                if page.locator(selector).count():
                    assert contrast(page, selector) >= 4.5, (place, selector)
            page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)


def test_without_javascript_the_pages_are_whole(reader: Open) -> None:
    context = reader(java_script_enabled=False)
    page = at(context, WEEK)
    assert page.get_by_role("heading", name="Read about vectors").is_visible()
    assert page.get_by_role("checkbox", name=READ).count() == 0
    for place, words in ((MINE, "A fortnight"), ("which-track/", "What do you like?"),
                         ("where-am-i/", "Vector search")):
        page.goto(place)
        assert page.get_by_role("article").get_by_text(words).first.is_visible()
