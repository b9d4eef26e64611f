"""How long the command takes to begin: `--help` beside a bare Python, `run` beside the import of its libraries.

    pytest -m bench tests/bench/test_startup.py -s
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from tests.bench.table import record

pytestmark = pytest.mark.bench

ROUNDS = 9
# What MkDocs and a test need to find ours is no part of it; -P, as the installed `ninety` has it.
PYTHON = (sys.executable, "-P")
# Compiled once and kept, as wherever it is installed: the libraries are, whatever this says where the benches run.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
HELP = (*PYTHON, "-c", "from bot.cli import main; main()", "--help")
RUN = """
import sys
sys.argv[1:] = ["run"]
from bot.cli import main
try:
    main()
finally:
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.name == name and "site-packages" in (spec.origin or ""):
            print("imported", name)
"""
"""Says at its end which modules of others it has imported, in that order."""


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def started(folder: Path, at: int | None = None) -> subprocess.Popen[str]:
    """`ninety run` when it serves: it listens before it says so, with its database migrated."""
    process = subprocess.Popen((*PYTHON, "-c", RUN), stdout=subprocess.PIPE, text=True, cwd=folder, env=ENVIRONMENT | {  # noqa: S603  # ours
        "NINETY_DATABASE_URL": f"sqlite:///{folder}/ninety.db", "NINETY_PORT": str(at or port()),
        "NINETY_OPERATOR_LISTEN": f"127.0.0.1:{port()}", "NINETY_LOG_LEVEL": "error"})
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Ninety is running")
    return process


def libraries(folder: Path) -> list[str]:
    process = started(folder)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    return [line.removeprefix("imported ") for line in said.splitlines() if line.startswith("imported ")]


def ready(folder: Path) -> float:
    """Seconds from the start of the process."""
    begun = perf_counter()
    process = started(folder)
    taken = perf_counter() - begun
    process.kill()
    process.communicate()
    return taken


def done(*command: str) -> float:
    begun = perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=ENVIRONMENT)  # noqa: S603  # ours
    return perf_counter() - begun


def beside(floor: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """Medians, in milliseconds, measured in turn; the first round only warms the disk."""
    rounds = [(floor(), ours()) for _ in range(ROUNDS + 1)][1:]
    return median(one for one, _ in rounds) * 1e3, median(one for _, one in rounds) * 1e3


def test_the_help_comes_at_once() -> None:
    bare = "import yaml, argparse; argparse.ArgumentParser().parse_args([])"
    floor, ours = beside(lambda: done(*PYTHON, "-c", bare), lambda: done(*HELP))
    assert record("ninety --help", ours, floor, 3, peer="bare Python, yaml, argparse") <= 3.3


def test_ninety_runs_when_its_libraries_are_imported(tmp_path: Path) -> None:
    """With a database that is there, as at every start but the first."""
    ready(tmp_path)
    names = tmp_path / "libraries.py"
    names.write_text("\n".join(f"import {name}" for name in libraries(tmp_path)), encoding="utf-8")
    floor, ours = beside(lambda: done(*PYTHON, str(names)), lambda: ready(tmp_path))
    assert record("ninety run, until it is ready", ours, floor, 1.2, peer="import of its libraries") <= 1.35
