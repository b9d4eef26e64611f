"""What our theme and plugin cost: our build beside stock Material's on the same Markdown, in one run.

    pytest -m bench tests/bench/test_site_build.py
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from content.loading import default_path, load
from docs.pages import pages, write
from tests.bench.table import record

ROOT = Path(__file__).parents[2]
ROUNDS = 3


def seconds(config: Path, site: Path) -> float:
    """Of the processor's time, which other work on the machine disturbs less than the clock on the wall."""
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(config), "-d", str(site)]
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})  # noqa: S603  our own command
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun


def configured(folder: Path, plans: int) -> dict[str, Path]:
    """Three mkdocs.yml for our guide with its first plan this many times: the same Markdown in each."""
    guide = yaml.safe_load(default_path().read_text(encoding="utf-8"))
    plan_id, plan = next(iter(guide["plans"].items()))
    # Of one title they would be one section of the menu, with all their weeks in it.
    guide["plans"] |= {f"{plan_id}-{number}": plan | {"title": f"{plan['title']} {number}"}
                       for number in range(2, plans + 1)}
    file = folder / "guide.yaml"
    file.write_text(json.dumps(guide, indent=1), encoding="utf-8")      # JSON is YAML, with all its quotes
    ours = folder / "mkdocs.yml"
    ours.write_text(f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: {ROOT}/docs\ntheme:\n  custom_dir: {ROOT}/docs/theme\n"
                    "plugins:\n  ninety:\n    guide: guide.yaml\n")

    write(pages(load(file)), folder / "plain")
    plain = folder / "plain/mkdocs.yml"
    settings = yaml.safe_load(plain.read_text())
    lines = [line.split("#")[0].strip() for line in (ROOT / "mkdocs.yml").read_text().splitlines()]
    features = [line[2:] for line in lines if line.startswith(("- content.", "- navigation.", "- search.", "- toc."))]
    settings["theme"] = {"name": "material", "font": False, "features": features}
    settings["plugins"] = ["search"]
    settings["markdown_extensions"].remove("toc")
    settings["markdown_extensions"] += [{"toc": {"permalink": "#", "toc_depth": "2-3"}}, "pymdownx.highlight",
                                        "pymdownx.superfences"]
    settings["validation"] = {"links": {"anchors": "warn"}}
    plain.write_text(yaml.safe_dump(settings))
    settings["theme"]["custom_dir"] = str(ROOT / "docs/theme")
    dressed = folder / "plain/dressed.yml"
    dressed.write_text(yaml.safe_dump(settings))
    return {"plain": plain, "our theme": dressed, "our theme and plugin": ours}


@pytest.mark.bench
@pytest.mark.parametrize(("plans", "target"), [(1, 1.5), (14, 1.25)])
def test_our_build_takes_little_longer_than_plain_material(tmp_path: Path, plans: int, target: float) -> None:
    """They take turns and the best of each is compared. The theme costs less than a tenth.

    Importing the grammar, reading the guide and making its Markdown, which plain Material finds ready on the disk, cost
    0.3 s for our own 36 pages and 0.8 s for 216.
    """
    configs = configured(tmp_path, plans)
    times: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(ROUNDS):
        for name, config in configs.items():
            times[name].append(seconds(config, tmp_path / "site" / name))
    best = {name: min(taken) for name, taken in times.items()}
    count = len(list((tmp_path / "site/plain").rglob("*.html")))
    for name, most in (("our theme", 1.1), ("our theme and plugin", target)):
        assert record(f"site of {count} pages, {name}", best[name], best["plain"], most, "s", "stock Material") <= most
