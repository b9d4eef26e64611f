"""What others judge the site by: axe, the Nu validator, Lighthouse; and its links and its weight.

The judges come from npm: `npm ci --ignore-scripts` in tests/tools; the validator needs a Java. Without them those tests
are skipped, and fail where NINETY_REQUIRE_TOOLS=1 says that they must run.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.browser.conftest import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOOLS = Path(__file__).parents[1] / "tools/node_modules"
PLAN = "plans/ninety-days/"
WEEK = f"{PLAN}how-models-behave/"
FIRST_VIEW = 150_000
"""Bytes, packed as any host packs them."""

SAVED_BY_MATERIAL = re.compile(r"Attribute “autocomplete” is only allowed when the input type is")
"""On Material's two switches for drawer and search, outside every block of its template. Firefox would otherwise bring
back an open drawer with the page, so the attribute does what it should and only the grammar minds."""


def do_without(reason: str) -> NoReturn:
    if os.environ.get("NINETY_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def tool(path: str) -> Path:
    if not (TOOLS / path).exists():
        do_without("the judges are not installed: npm ci --ignore-scripts, in tests/tools")
    return TOOLS / path


class Host:
    """The built site as a host hands it out, packed, and a list of what it handed out."""

    def __init__(self, site: Path) -> None:
        self.served: list[tuple[str, int]] = []
        host = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(site))

            def log_message(self, format: str, *values: object) -> None:
                pass

            def do_GET(self) -> None:
                file = Path(self.translate_path(self.path))
                file = file / "index.html" if file.is_dir() else file
                if not file.is_file():
                    self.send_error(404)
                    return
                body, kind = file.read_bytes(), self.guess_type(str(file))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                if kind.startswith("text/") or kind.endswith(("javascript", "json", "xml")):
                    body = gzip.compress(body, 6)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "max-age=600")
                self.end_headers()
                self.wfile.write(body)
                host.served.append((self.path, len(body)))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def host(built: Path) -> Iterator[Host]:
    host = Host(built)
    yield host
    host.close()


@pytest.fixture(scope="module")
def samples(built: Path) -> list[str]:
    """One page of each shape: every page at the top, and the first two of each folder that holds alike ones."""
    found = sorted(file.parent.relative_to(built).as_posix() for file in built.rglob("index.html")
                   if "md-header" in file.read_text(encoding="utf-8"))
    by_folder: dict[str, list[str]] = {}
    for place in found:
        by_folder.setdefault(place.rpartition("/")[0], []).append(place)
    some = {place for folder, places in by_folder.items() for place in (places if folder == "" else places[:2])}
    return ["404.html", *(f"{place}/".removeprefix("./") for place in sorted(some | {WEEK.rstrip("/")}))]


# --- axe --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_serious(browser: Browser, host: Host, samples: list[str], width: int,
                                   scheme: Literal["light", "dark"]) -> None:
    axe = tool("axe-core/axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme,
                                  reduced_motion="reduce")
    page = context.new_page()
    found = []
    for place in samples:
        page.goto(host.address + place)
        page.evaluate(axe)
        for rule, grade, where in page.evaluate("""axe.run(document, {resultTypes: ["violations"]}).then(result =>
                result.violations.map(({id, impact, nodes}) => [id, impact, nodes.map(node => node.target.join(" "))]))
                """):
            if grade in ("serious", "critical"):
                found.append(f"{place or 'home'}: {rule} ({grade}) at {', '.join(where[:3])}")
    context.close()
    assert found == []


# --- the validator ----------------------------------------------------------------------------------------------------


def test_the_html_is_valid(built: Path) -> None:
    jar = tool("vnu-jar/build/dist/vnu.jar")
    if not (java := shutil.which("java")):
        do_without("the validator needs a Java: apt-get install default-jre-headless")
    done = subprocess.run([java, "-jar", str(jar), "--errors-only", "--skip-non-html", "--format", "json", str(built)],  # noqa: S603  a tool of ours
                          capture_output=True, text=True, check=False)
    errors = [f"{urlsplit(said['url']).path.removeprefix(str(built))}:{said.get('lastLine')}: {said['message']}"
              for said in json.loads(done.stderr)["messages"]
              if not (SAVED_BY_MATERIAL.match(said["message"]) and "md-toggle" in said.get("extract", ""))]
    assert errors == []


# --- links ------------------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a page leads to, and where in it one may be led."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.twice: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                (self.twice if value in self.ids else self.ids).add(value)
            elif (name == "href" or name == "src") and value:
                self.links.append(value)


def test_every_link_of_the_site_leads_somewhere(built: Path) -> None:
    """Pages, files and anchors, as they stand in the HTML, menus included; and no id stands twice on a page."""
    pages = {file: Seen(file.read_text(encoding="utf-8")) for file in built.rglob("*.html")}
    dead = [f"{file.relative_to(built)}: the id {one} stands twice"
            for file, seen in pages.items() for one in seen.twice]
    for file, seen in pages.items():
        # The page for wrong addresses links from the root of the host, because nobody knows where it will be shown.
        here = "http://site/" + file.relative_to(built).as_posix().removesuffix("index.html")
        for link in seen.links:
            to = urlsplit(urljoin(here, link))
            if to.scheme not in ("http", "https") or to.netloc != "site":
                continue
            target = built / unquote(to.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                dead.append(f"{file.relative_to(built)}: {link}")
            elif to.fragment and target in pages and unquote(to.fragment) not in {*pages[target].ids, "__drawer"}:
                dead.append(f"{file.relative_to(built)}: {link} has no such anchor")
    assert sorted(set(dead)) == []


# --- weight -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", WEEK])
def test_a_first_view_is_light(browser: Browser, host: Host, place: str) -> None:
    """Everything that an empty browser fetches until it rests, fonts included, and nothing from anybody else.

    What a service worker puts aside for later, it fetches when the page is done; that is no part of the view.
    """
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    host.served.clear()
    page.goto(host.address + place, wait_until="networkidle")
    served = sorted(host.served, key=lambda one: -one[1])
    context.close()
    assert [url for url in asked if not url.startswith((host.address, "data:", "blob:"))] == []
    weight = sum(size for _, size in served)
    print(f"\n{place or 'home'}: {weight / 1000:.1f} kB in {len(served)} files")
    assert weight <= FIRST_VIEW, served


def test_the_search_is_fetched_when_somebody_searches(browser: Browser, host: Host) -> None:
    """And not before; then it finds what is typed from the first letter on."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    host.served.clear()
    page.goto(host.address, wait_until="networkidle")
    assert [path for path, _ in host.served if "search" in path] == []
    page.keyboard.press("f")
    page.keyboard.type("embeddings")
    page.locator(".md-search-result__link").first.wait_for()
    assert sum(path.endswith("search_index.json") for path, _ in host.served) == 1
    context.close()


# --- Lighthouse -------------------------------------------------------------------------------------------------------


@pytest.mark.bench
@pytest.mark.parametrize("place", ["", PLAN, WEEK])
def test_lighthouse_is_content(host: Host, tmp_path: Path, place: str) -> None:
    """On its slow phone; the best of three, for whatever else the machine does counts against the page."""
    lighthouse, node = tool("lighthouse/cli/index.js"), shutil.which("node")
    if not node or not CHROMIUM.exists():
        do_without("Lighthouse needs node and Chromium")
    scores: list[dict[str, float]] = []
    for number in range(3):
        report = tmp_path / f"{number}.json"
        subprocess.run([node, str(lighthouse), host.address + place, "--quiet", "--output=json",  # noqa: S603  a tool of ours
                        f"--output-path={report}", "--only-categories=performance,accessibility",
                        f"--chrome-flags=--headless=new {' '.join(FLAGS)}"],
                       check=True, capture_output=True, env=os.environ | {"CHROME_PATH": str(CHROMIUM)})
        scores.append({name: part["score"] for name, part in json.loads(report.read_text())["categories"].items()})
    best = {name: max(score[name] for score in scores) for name in scores[0]}
    print(f"\n{place or 'home'}: {best}")
    assert best["accessibility"] >= 0.98 and best["performance"] >= 0.95
