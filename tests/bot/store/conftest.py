"""The fixtures of the folder above, once for each database that we speak; another one is another entry here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a migrated database without a row."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{shutil.copyfile(request.getfixturevalue('migrated'), tmp_path / 'ninety.db')}"


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
