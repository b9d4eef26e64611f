"""`make demo` as its first visitor lives it, in a real browser: the guide, the room, a check-in, on to graduation."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Literal
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "screenshots"


@pytest.fixture(scope="module")
def demo(built: Path) -> Iterator[str]:
    """The address of a demo that has just been started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bot", "demo", "--port", str(port), "--site", str(built)],  # noqa: S603  # ours
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    address = f"http://127.0.0.1:{port}/"
    deadline = monotonic() + 30
    while monotonic() < deadline and process.poll() is None:
        try:
            urlopen(address).close()
            break
        except OSError:
            sleep(0.1)
    yield address
    process.terminate()
    _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (0, "")


class Member:
    """Somebody at the browser, in a tab of their own."""

    def __init__(self, browser: Browser, demo: str, user: str, width: int = 1280,
                 scheme: Literal["light", "dark"] = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{demo}chat/?as={user}")
        self.page.locator("#as option:checked").wait_for(state="attached")

    @property
    def room(self) -> Locator:
        return self.page.locator("#log-room")

    @property
    def form(self) -> Locator:
        return self.page.locator("dialog[open] form")

    def types(self, line: str) -> None:
        self.page.locator("#line").fill(line)
        self.page.locator("#send").click()

    def reads(self, words: str) -> None:
        """Raises when the words are not in the room within some seconds."""
        self.room.get_by_text(words).last.wait_for(timeout=10_000)

    def joins(self, name: str, zone: str) -> None:
        self.types("/cohort join")
        self.form.locator("[name=name]").fill(name)
        self.form.locator("[name=zone]").fill(zone)
        self.form.locator("[type=submit]").click()
        self.reads(f"Welcome, {name}")

    def checks_in(self, line: str, ticks: int, notes: str = "") -> None:
        self.types(line)
        self.form.locator("[name=tasks]").first.wait_for()
        for box in self.form.locator("[name=tasks]").all()[:ticks]:
            box.check()
        self.form.locator("[name=notes]").fill(notes)
        self.form.locator("[type=submit]").click()
        self.form.wait_for(state="detached")

    def moves(self, to: Literal["post", "day", "week"]) -> None:
        """Waits until the bar has arrived."""
        before = self.page.locator("#time-now").get_attribute("datetime")
        self.page.locator(f"[data-go={to}]:not([aria-disabled=true])").click()
        self.page.locator(f"#time-now:not([datetime='{before}'])").wait_for(timeout=30_000)
        self.page.locator("#time:not(.moving)").wait_for(timeout=30_000)

    @property
    def over(self) -> bool:
        """Told by the bar, which knows it before the room shows the last post; its buttons then stay off."""
        return bool(self.page.locator("#time.ended").count())

    def shoots(self, name: str) -> None:
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"))


def points(text: str) -> int:
    found = re.search(r"is (?:in|changed): (\d+) points", text)
    assert found, text
    return int(found[1])


def test_from_the_home_page_to_graduation(browser: Browser, demo: str) -> None:
    robin = Member(browser, demo, "robin")
    robin.page.goto(demo)
    robin.page.get_by_role("heading", level=1, name="From software engineer to AI engineer").wait_for()
    robin.shoots("demo-home")
    robin.page.goto(f"{demo}plans/ninety-days/how-models-behave/")
    robin.shoots("demo-week")
    robin.page.goto(f"{demo}chat/?as=robin")

    # Joining, before it begins.
    robin.joins("Robin", "lisbon")
    sam, kim = Member(browser, demo, "sam"), Member(browser, demo, "kim", width=390, scheme="dark")
    sam.joins("Sam", "America/New_York")
    kim.joins("Kim", "Asia/Tokyo")

    # Week 1 is posted; its tasks lead to the guide.
    while not robin.room.get_by_text("Week 1 of 13").count():
        robin.moves("post")
    robin.reads("Write a terminal chat client")
    assert robin.room.locator(".tasks a").first.get_attribute("href") == (
        "/plans/ninety-days/how-models-behave/#stream-a-chat")
    robin.shoots("demo-room")

    # A check-in from the button on the post, and why it is worth what it is.
    robin.room.get_by_role("button", name="Check in").last.click()
    robin.form.locator("[name=tasks]").nth(0).check()
    robin.form.locator("[name=hours]").fill("six")
    robin.form.locator("[type=submit]").click()
    robin.page.get_by_text("six is no number of hours").wait_for()
    robin.shoots("demo-form-error")
    robin.form.locator("[name=hours]").fill("5,5")
    robin.form.locator("[name=notes]").fill("<b>It climbs</b> @everyone")
    robin.form.locator("[type=submit]").click()
    robin.reads("Week 1 is in: 30 points")
    robin.reads("Must tasks: 1")

    # Sending it again changes it; what was said before is filled in.
    robin.types("/checkin")
    assert robin.form.locator("[name=tasks]").nth(0).is_checked()
    assert robin.form.locator("[name=notes]").input_value() == "<b>It climbs</b> @everyone"
    robin.form.locator("[name=tasks]").nth(1).check()
    robin.form.locator("[name=evidence]").fill("https://git.example/robin/chat")
    robin.form.locator("[type=submit]").click()
    robin.reads("Week 1 is changed: 50 points")
    robin.shoots("demo-checked-in")

    # Back and forth does not lose what is typed.
    robin.types("/checkin")
    robin.form.locator("[name=notes]").fill("a thought that is not sent yet")
    robin.page.go_back()
    robin.form.wait_for(state="detached")
    robin.types("/checkin")
    assert robin.form.locator("[name=notes]").input_value() == "a thought that is not sent yet"
    robin.page.keyboard.press("Escape")

    # Sam rests in week 1; Kim is late for it.
    sam.types("/cohort rest")
    sam.reads("You rest in week 1")
    robin.moves("week")
    robin.moves("day")
    robin.moves("day")
    kim.checks_in("/checkin 1", 4, "late, but here")
    kim.reads("after its deadline, so it counts 50 %")
    assert points(kim.room.inner_text()) == 30
    kim.shoots("demo-late-phone-dark")

    # Week by week to the end.
    for _ in range(2, 14):
        for member in (robin, sam, kim):
            member.checks_in("/checkin", 3)
        robin.moves("week")
    while not robin.over:
        robin.moves("post")
    robin.reads("The plan is done.")
    robin.reads("The demo cohort: done")
    board = robin.room.locator("table.board").last
    assert board.locator("tbody tr").count() == 10
    places = [int(row.locator("td").first.inner_text()) for row in board.locator("tbody tr").all()]
    assert places == sorted(places)
    robin.shoots("demo-graduation")

    # The whole account, and a streak that the rest week did not break.
    sam.types("/progress")
    sam.reads("Streak: 12, best 12")
    sam.reads("rested")
    kim.types("/progress")
    kim.reads("Streak: 13, best 13")
    robin.types("/leaderboard")
    robin.reads("Equal points share a place")
    robin.room.locator("table.board tr.you").wait_for()
    robin.shoots("demo-board")

    # The organiser sees everything that went out, and nobody else does.
    robin.types("/cohort log")
    robin.reads("Only who runs this room or opened the cohort can do that.")
    alex = Member(browser, demo, "organiser")
    alex.types("/cohort log")
    alex.reads("what went out")
    became = alex.room.locator(".facts dd").all_inner_texts()
    assert became.count("sent") == 29
    assert not [state for state in became if "missed" in state or "failed" in state]
    alex.shoots("demo-organiser")

    assert [member.errors for member in (robin, sam, kim, alex)] == [[], [], [], []]
    for member in (robin, sam, kim, alex):
        member.context.close()
