"""The published site in a real browser: nothing from elsewhere, nothing too wide, readable by day and by night."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "screenshots"
WEEK = "plans/ninety-days/how-models-behave/"
PLACES = {"home": "", "week": WEEK, "project": "projects/rag-system/"}

Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def site(built: Path) -> Iterator[str]:
    """Its address on this machine."""
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(built))

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Open]:
    """Opens a page at a width and in a scheme. The test fails when anything asks another host, or complains."""
    contexts = []
    trouble: list[str] = []

    def open_page(place: str, width: int = 1280, scheme: Literal["light", "dark"] = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda asked: None if asked.url.startswith((site, "data:", "blob:"))
                else trouble.append(f"asked {asked.url}"))
        page.on("response", lambda answer: trouble.append(f"{answer.status} {answer.url}")
                if answer.status >= 400 else None)
        page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(site + place)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="session")
def places(built: Path) -> list[str]:
    """Every page of the site."""
    found = sorted(file.relative_to(built).as_posix().removesuffix("index.html") for file in built.rglob("*.html"))
    assert len(found) > 30
    return found


@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_is_wider_than_the_screen(visit: Open, site: str, places: list[str], width: int) -> None:
    """Nor asks another host, nor lacks a file: `visit` sees to that for each of them."""
    page = visit("", width)
    wide = []
    for place in places:
        page.goto(site + place)
        if (over := page.evaluate("document.documentElement.scrollWidth")) > width:
            wide.append((place, over))
    assert wide == []


def test_it_follows_the_scheme_of_the_system_and_can_be_told_otherwise(visit: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    by_day, by_night = visit(""), visit("", scheme="dark")
    light, dark = by_day.evaluate(paper), by_night.evaluate(paper)
    assert sum(map(int, re.findall(r"\d+", light)[:3])) > 700 > 100 > sum(map(int, re.findall(r"\d+", dark)[:3]))
    for _ in ("to light", "to dark"):
        by_day.locator("label[for^=__palette]:visible").click()
    assert by_day.evaluate(paper) == dark
    by_day.goto(by_day.url + "skills/")
    assert by_day.evaluate(paper) == dark


def contrast(page: Page, selector: str) -> float:
    """Between the text of the first such element and what lies behind it, as WCAG counts."""
    return float(page.evaluate("""selector => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
        const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
                                return canvas.getImageData(0, 0, 1, 1).data };
        const linear = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
        const light = colour => { const [r, g, b] = Array.from(rgb(colour)).map(value => linear(value / 255));
                                  return .2126 * r + .7152 * g + .0722 * b };
        const text = document.querySelector(selector);
        let behind = text;
        while (rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
        const one = light(getComputedStyle(text).color), other = light(getComputedStyle(behind).backgroundColor);
        return (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    }""", selector))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_print_can_be_read(visit: Open, scheme: Literal["light", "dark"]) -> None:
    """4.5 to 1 at least, for the palest words of a week's page."""
    page = visit(WEEK, scheme=scheme)
    for selector in (".facts p", ".facts .must", ".facts .stretch", "sup.cite a", ".small p", ".ruler a", ".why p",
                     ".md-tabs__link", ".md-nav__link[href]", ".md-copyright", "pre code span"):
        assert contrast(page, selector) >= 4.5, selector


def test_search_finds_embeddings(visit: Open) -> None:
    page = visit("")
    page.get_by_label("Search").get_by_role("textbox").first.fill("embeddings")
    first = page.locator(".md-search-result__link").first
    first.wait_for()
    first.click()
    page.wait_for_url(re.compile("skills/|plans/"))
    assert "mbedding" in page.locator("article").inner_text()


def test_the_search_dialog_has_a_name(visit: Open) -> None:
    """Stock Material's has none, and a screen reader then says only "dialog"."""
    assert visit("").locator("[role=dialog]").get_attribute("aria-label") == "Search"


def test_a_keyboard_reaches_the_plan(visit: Open) -> None:
    """The first stop skips to the content, and what has the focus can be seen."""
    page = visit(WEEK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.md-skip')")
    page.locator(".ruler a").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_link_to_a_task_leads_to_it(visit: Open) -> None:
    """The heading is in view, not behind the header."""
    page = visit(f"{WEEK}#sample-twenty-times")
    page.wait_for_function("scrollY > 0")
    box = page.locator("#sample-twenty-times").bounding_box()
    header = page.locator(".md-header").bounding_box()
    assert box and header and header["y"] + header["height"] <= box["y"] < 900


def test_paper_shows_the_words_and_nothing_to_click(visit: Open) -> None:
    page = visit(WEEK)
    page.emulate_media(media="print")
    assert page.locator(".md-header").is_hidden() and page.locator(".ruler").is_hidden()
    assert page.locator(".task").first.is_visible()


def test_a_wrong_address_leads_on(browser: Browser, site: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}404.html")
    page.get_by_role("link", name="Read the plan").click()
    assert page.url == f"{site}plans/"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_for_people_to_look_at(visit: Open, site: str, width: int, scheme: Literal["light", "dark"]) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = visit("", width, scheme)
    for name, place in PLACES.items():
        page.goto(site + place)
        page.evaluate("document.fonts.ready")
        page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png")
        assert (SHOTS / f"{name}-{width}-{scheme}.png").stat().st_size > 10_000
