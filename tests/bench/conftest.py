"""Says at the end of a run what all its benches measured."""

from __future__ import annotations

import pytest

from tests.bench import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not table.rows:
        return
    terminalreporter.section("ours beside the others")
    terminalreporter.write_line(table.table())
    terminalreporter.write_line(f"\nplot: {table.plot().relative_to(terminalreporter.config.rootpath)}")
