"""The way out of our generator: what `ninety pages` writes is built by its two successors, every page of it.

They are not among our dependencies. Put their commands on the path, or name them in NINETY_ZENSICAL and
NINETY_PROPERDOCS; ProperDocs wears Material, which has to be installed beside it.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portable") / "pages"
    subprocess.run([sys.executable, "-m", "docs", str(folder)], check=True, cwd=ROOT, capture_output=True)  # noqa: S603  ours
    return folder


def command(name: str) -> str:
    found = os.environ.get(f"NINETY_{name.upper()}") or shutil.which(name) or shutil.which(
        name, path=str(Path(sys.executable).parent))
    if not found:
        pytest.skip(f"{name} is not installed: pip install {name}, in an environment of its own, "
                    f"and NINETY_{name.upper()}=…/bin/{name}")
    return found


def built(written: Path, tmp_path: Path, name: str, *arguments: str) -> Path:
    """The finished site; built strictly, so a dead link fails."""
    here = tmp_path / "pages"
    shutil.copytree(written, here)
    done = subprocess.run([command(name), "build", *arguments, "--strict"], cwd=here, text=True,  # noqa: S603  as above
                          capture_output=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return here / "site"


def places(folder: Path, ending: str) -> set[str]:
    found = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob(f"*{ending}")}
    return {place.removesuffix("index").rstrip("/") for place in found} - {"404"}


def words(text: str) -> list[str]:
    """Of a page's article, without marks."""
    article = text[text.index("<article"):text.index("</article")]
    article = re.sub(r"(?s)<(script|style|svg|button).*?</\1>", " ", article)
    return re.findall(r"\w+", html.unescape(re.sub(r"<[^>]+>", " ", article)))


@pytest.mark.parametrize(("name", "arguments"), [
    ("zensical", ()),
    ("properdocs", ("--quiet", "--theme", "material", "--config-file", "mkdocs.yml")),
])
def test_a_successor_builds_every_page(written: Path, tmp_path: Path, name: str, arguments: tuple[str, ...]) -> None:
    site = built(written, tmp_path, name, *arguments)
    assert places(site, ".html") >= places(written / "docs", ".md")
    strange = [file.relative_to(site).as_posix() for file in site.rglob("index.html")
               if re.search(r'markdown="1"|\{ ?#|\{:', re.sub(r"(?s)<(code|pre|script).*?</\1>", "", file.read_text()))]
    assert strange == []
    home = (site / "index.html").read_text()
    assert 'class="hero"' in home and len(words(home)) > 50
