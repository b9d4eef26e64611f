"""When a process learned that what it wrote is kept, for another process to read: the clock is one for all of them."""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path


class Kept:
    """Such instants in a file, in seconds of `time.monotonic`."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self) -> None:
        os.write(self._file, array("d", [time.monotonic()]).tobytes())


def kept(file: Path) -> array[float]:
    instants = array("d")
    instants.frombytes(file.read_bytes())
    return instants
