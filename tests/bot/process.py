"""The bot in a process of its own with a clock that its driver moves: the program of `ninety run`, its clock apart.

    async with Process.started({"NINETY_DATABASE_URL": …}, clock.now(), log) as bot:
        due = await bot.reach(instant)      # all that was due then has been done; something is due next at `due`
        bot.kill()

Processes are forked from one that has imported everything and read the guide, because that alone takes two seconds.
"""

from __future__ import annotations

import array
import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from bot import herald
from bot.app import Pace, Running, running
from bot.ledger import Room
from bot.sender import elapsed
from bot.settings import Settings
from content.loading import default_path, load
from content.model import Guide
from scheduler.clock import VirtualClock

ROOT = Path(__file__).parents[2]
ROUNDS = 4
"""So often the pulses are rung at one instant before it counts as left undone."""
LEASE = 48.0
"""So much faster than real time one that was killed is taken over from, when it is alone: after half a second."""
LARGEST = 1 << 16
"""Bytes of what the driver and the process that forks say at once; each thing said is a line."""


class Died(Exception):
    """The process has ended while its driver spoke to it."""


# --- the bot ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Birth:
    """What a process is started with."""

    environment: Mapping[str, str]
    start: str
    """The instant that its clock shows."""
    log: str
    dm_opens: float = 1.0
    """Seconds between two new direct message channels."""
    speed: float = 1.0
    """How much faster than real time the platforms' limits are counted and waited for."""
    lease: float = LEASE
    """How much faster than real time one that was killed is taken over from."""
    alone: bool = True
    """It is not ready before it sends for every platform, and then it keeps the lease in real time."""
    patience: float = 1.0
    """How much longer than on the platforms somebody waits for their answer."""


@cache
def guide_at(path: Path | None) -> Guide:
    return load(path or default_path())


async def _obey(ninety: Running, clock: VirtualClock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) \
        -> None:
    """Until the driver has gone. Orders are answered in their order."""
    while line := await reader.readline():
        clock.reach(datetime.fromisoformat(json.loads(line)["reach"]))
        for ticker in ninety.tickers:
            await ticker.settled()
        due = await ninety.herald.next_due()
        # As the pulses do, which sleep until something is due, or for a minute: what one of them leaves to another (a
        # notice in the room that somebody takes no direct messages) is found by that one at its next round.
        rounds = 0
        while due is not None and due <= clock.now() and rounds < ROUNDS:
            rounds += 1
            await _may_send(ninety)
            for ticker in ninety.tickers:
                ticker.wake()
            for ticker in ninety.tickers:
                await ticker.settled()
            due = await ninety.herald.next_due()
        await _say(writer, {"due": due and due.isoformat()})


async def _may_send(ninety: Running) -> None:
    """Returns when whoever sends may begin to: while the database stalled, nobody could say that they live."""
    least = herald.SEND.total_seconds()
    while any(candidate.held and candidate.lasts() < least + candidate.grace for candidate in ninety.candidates):  # noqa: ASYNC110  # a clock rings no bell
        await asyncio.sleep(0.005)


def _from_now_on(fast: Callable[[], float]) -> Callable[[], float]:
    """The clock, at the pace of real time."""
    shown, since = fast(), elapsed()
    return lambda: shown + elapsed() - since


async def _to_send_for_all(ninety: Running) -> None:
    """Returns when this process does."""
    changed = asyncio.Event()
    for candidate in ninety.candidates:
        candidate.when_changed(changed.set)
    while not all(candidate.held for candidate in ninety.candidates):
        await changed.wait()
        changed.clear()


async def _say(writer: asyncio.StreamWriter, said: Mapping[str, object]) -> None:
    writer.write(json.dumps(said).encode() + b"\n")
    await writer.drain()


async def _live(birth: Birth, orders: socket.socket) -> None:
    settings, clock = Settings(), VirtualClock(datetime.fromisoformat(birth.start))
    speed = birth.speed
    pace = Pace(timedelta(seconds=birth.dm_opens), lambda: time.monotonic() * speed,
                lambda seconds: asyncio.sleep(seconds / speed), birth.lease, birth.patience)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    reader, writer = await asyncio.open_connection(sock=orders)
    async with running(settings, guide_at(settings.guide), Room("local", "", "ninety"), ["nobody"], clock,
                       pace) as ninety:
        if birth.alone:
            await _to_send_for_all(ninety)
            # Nobody waits for its silence, and on a busy machine it would be late to say that it lives.
            for candidate in ninety.candidates:
                candidate.elapsed = _from_now_on(candidate.elapsed)
            object.__setattr__(pace, "lease", 1.0)
        else:
            # Another one may take over so much sooner, and until then a send must be over. In seconds of the lease it
            # may take as long as ever, and what is left of that is here the platform's.
            send = herald.SEND
            herald.SEND = send / birth.lease
            for candidate in ninety.candidates:
                candidate.grace += (send - herald.SEND).total_seconds()
        await _say(writer, {"ready": True})
        obeying = asyncio.create_task(_obey(ninety, clock, reader, writer))
        ended, _ = await asyncio.wait([asyncio.create_task(asked.wait()), obeying, *ninety.lines],
                                      return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        obeying.cancel()
        await asyncio.gather(obeying, return_exceptions=True)


def _born(birth: Birth, orders: socket.socket) -> int:
    """The exit code. In the new process."""
    log = os.open(birth.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(birth.environment)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for chatty in ("apscheduler", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        asyncio.run(_live(birth, orders))
    except Exception:
        logging.exception("The bot has failed")
        return 1
    return 0


# --- the process that forks -------------------------------------------------------------------------------------------


def _fork_on_demand(driver: socket.socket) -> None:
    """Reads births, answers with process ids, and tells of each that has ended. Until the driver has gone."""
    def say(what: Mapping[str, int]) -> None:
        driver.sendall(json.dumps(what).encode() + b"\n")

    def reap(*_: object) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                say({"ended": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})
        except (ChildProcessError, OSError):
            pass    # none is left, or nobody listens any more

    guide_at(None)
    for platform in ("discord.client", "discord.commands", "slack.clients", "slack.transports"):
        import_module(f"bot.{platform}")    # which the bot does only when it goes there
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, reap)
    while True:
        # The driver waits for each birth before it asks for the next.
        told, fds, _, _ = socket.recv_fds(driver, LARGEST, 1)
        while told and not told.endswith(b"\n"):
            told += driver.recv(LARGEST)
        if not told:
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            driver.close()
            code = 1
            try:
                code = _born(Birth(**json.loads(told)), socket.socket(fileno=fds[0]))
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(fds[0])
        say({"born": pid})


class _Nursery:
    """The driver's side of the process that forks: one for the whole run of pytest."""

    def __init__(self) -> None:
        self._socket, there = socket.socketpair()
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [sys.executable, "-m", "tests.bot.process", str(there.fileno())], pass_fds=[there.fileno()], cwd=ROOT)
        there.close()
        self._turn = threading.Lock()
        self._heard = b""
        self._born: list[int] = []
        self._codes: dict[int, int] = {}

    def bear(self, birth: Birth, orders: socket.socket) -> int:
        """The id of the new process."""
        told = json.dumps(asdict(birth)).encode() + b"\n"
        with self._turn:
            return self._bear(told, orders)

    def _bear(self, told: bytes, orders: socket.socket) -> int:
        # Not socket.send_fds: it sends through `socket.socket`, which pytest-socket may have put another in place of.
        self._socket.sendmsg([told], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [orders.fileno()]))])
        while not self._born:
            self._read()
        return self._born.pop()

    def code(self, pid: int, within: float) -> int | None:
        """What it has ended with; None when it runs on. Waits so many seconds for its end."""
        with self._turn:
            return self._code(pid, time.monotonic() + within)

    def _code(self, pid: int, until: float) -> int | None:
        while pid not in self._codes and (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self._read()
            except TimeoutError:
                pass
            finally:
                self._socket.settimeout(None)
        return self._codes.get(pid)

    def _read(self) -> None:
        said = self._socket.recv(LARGEST)
        if not said:
            raise Died("the process that forks has ended; see its last words above")
        *lines, self._heard = (self._heard + said).split(b"\n")
        for told in map(json.loads, lines):
            if "born" in told:
                self._born.append(told["born"])
            else:
                self._codes[told["ended"]] = told["code"]


@cache
def _nursery() -> _Nursery:
    return _Nursery()


# --- the driver's side ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Process:
    pid: int
    log: Path
    _reader: asyncio.StreamReader = field(repr=False)
    _writer: asyncio.StreamWriter = field(repr=False)
    _waiting: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _code: int | None = None

    @classmethod
    @asynccontextmanager
    async def started(cls, environment: Mapping[str, str], now: datetime, log: Path, *, dm_opens: float = 1.0,
                      speed: float = 1.0, lease: float = LEASE, alone: bool = True, patience: float = 1.0) \
            -> AsyncIterator[Process]:
        """It may not be `ready` yet. Killed at the end, if it lives."""
        here, there = socket.socketpair()
        try:
            birth = Birth(environment, now.isoformat(), str(log), dm_opens, speed, lease, alone, patience)
            # Here, in the one thread where there can be only one.
            nursery = _nursery()
            pid = await asyncio.to_thread(nursery.bear, birth, there)
        finally:
            there.close()
        reader, writer = await asyncio.open_connection(sock=here)
        process = cls(pid, log, reader, writer)
        try:
            yield process
        finally:
            process.kill()
            writer.close()
            await process.ended()

    async def ready(self, within: float = 60.0) -> None:
        """Raises Died, or TimeoutError."""
        await self._said("ready", within)

    async def reach(self, instant: datetime, within: float = 60.0) -> datetime | None:
        """Moves its clock, and returns when all that was due has been done: the instant at which something is due next.
        Raises Died, or TimeoutError."""
        async with self._waiting:
            try:
                self._writer.write(json.dumps({"reach": instant.isoformat()}).encode() + b"\n")
                await self._writer.drain()
            except OSError:
                raise Died(self.last_words()) from None
            due = await self._said("due", within)
        return None if due is None else datetime.fromisoformat(due)

    async def _said(self, what: str, within: float) -> Any:
        try:
            async with asyncio.timeout(within):
                line = await self._reader.readline()
        except OSError:
            line = b""
        except TimeoutError:
            raise TimeoutError(f"no word of {what!r} in {within} s:\n{self.last_words()}") from None
        if not line.endswith(b"\n"):
            raise Died(self.last_words())
        return json.loads(line)[what]

    def kill(self) -> None:
        """SIGKILL, which nobody can prepare for."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Of one that has `ended` the id may be somebody else's by now."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self, within: float = 10.0) -> int:
        """Its exit code, below 0 for a signal. Raises TimeoutError."""
        if self._code is None:
            self._code = await asyncio.to_thread(lambda: _nursery().code(self.pid, within))
        if self._code is None:
            raise TimeoutError(f"process {self.pid} has not ended in {within} s:\n{self.last_words()}")
        return self._code

    def last_words(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else ""


if __name__ == "__main__":
    _fork_on_demand(socket.socket(fileno=int(sys.argv[1])))
