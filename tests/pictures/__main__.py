"""`python -m tests.pictures` draws every picture of docs/discord.md and docs/slack.md anew. Needs Chromium, as
tests/browser does.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from pathlib import Path

import simcord
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from content.loading import default_path, load
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.pictures.pages import LAYOUTS, Layout, digest
from tests.pictures.season import season
from tests.pictures.sketches import SKETCHES

FONTS = Path(simcord.__file__).parent / "preview" / "static" / "fonts"
"""SimCord brings the fonts for a preview of its own, which shows a workbench around a bot that is running."""
ADDRESS = "http://pictures.invalid"
WIDTH, SHARP = 390, 2
COLOURS = 64
"""Of a picture; more are not seen, and make it twice as heavy."""


def main() -> None:
    guide = load(default_path())
    # Before Playwright, which has a loop of its own.
    made = {platform: layout.pages(asyncio.run(season(guide, layout.screen))) for platform, layout in LAYOUTS.items()}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for platform, layout in LAYOUTS.items():
            layout.folder.mkdir(exist_ok=True)
            for name, sketch in SKETCHES[platform].items():
                (layout.folder / f"{name}.svg").write_text(sketch.svg, encoding="utf-8")
            print(platform)
            _draw(layout, made[platform], chromium)
        chromium.close()


def _draw(layout: Layout, made: Mapping[str, str], chromium: Browser) -> None:
    remembered: dict[str, dict[str, str | int]] = {}
    camera = _camera(chromium, made)
    for name, page in made.items():
        camera.goto(f"{ADDRESS}/{name}")
        camera.evaluate("document.fonts.ready.then(() => null)")
        png = _light(camera.locator("main").screenshot())
        width, height = Image.open(io.BytesIO(png)).size
        (layout.folder / f"{name}.png").write_bytes(png)
        remembered[name] = {"page": digest(page), "width": width // SHARP, "height": height // SHARP}
        print(f"{name:16} {width // SHARP} x {height // SHARP:4} {len(png) / 1000:6.1f} kB")
    layout.remembered.write_text(json.dumps(remembered, indent=2) + "\n", encoding="utf-8")


def _camera(chromium: Browser, made: Mapping[str, str]) -> Page:
    """Sees the pages and the fonts, and no other host."""
    camera = chromium.new_context(viewport={"width": WIDTH, "height": 800}, device_scale_factor=SHARP).new_page()

    def host(route: Route) -> None:
        folder, _, name = route.request.url.removeprefix(f"{ADDRESS}/").rpartition("/")
        if folder == "fonts":
            route.fulfill(path=FONTS / name)
        elif name in made:
            route.fulfill(content_type="text/html", body=made[name])
        else:
            route.abort()

    camera.route("**/*", host)
    return camera


def _light(png: bytes) -> bytes:
    written = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # Without the rounds of k-means the grounds of two pictures differ a little, side by side.
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    few.save(written, "PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    main()
