"""Nothing that a member typed, and no secret, is in the log of the real process, on Slack and on Discord, however much
is logged: a run with everything in it, each word of which is found again wherever it should not be."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from cryptography.fernet import Fernet

from bot.slack.manifest import INSTALL, REDIRECT
from tests.bot.discord import stage as discord_stage
from tests.bot.process import ROOT, Birth, Process
from tests.bot.season import until
from tests.bot.slack.stage import Admin
from tests.bot.slack.town import (
    CHANNEL,
    MINUTES,
    ORGANISER,
    Kind,
    Town,
    is_refused,
    local,
    town_of,
)
from tests.emulators import discord
from tests.emulators.slack import Drop, Fail, NoAnswer, Throttle

OPENED, START, ZONE = datetime(2099, 1, 26, 12, tzinfo=UTC), date(2099, 2, 2), "Europe/Berlin"
WELCOME = local(date(2099, 1, 30), "09:00", ZONE)
WEEK_1 = local(START, "09:00", ZONE)
NUDGE_1 = local(date(2099, 2, 8), "17:00", ZONE)

PROGRAM = """
import json, logging, socket, sys
level, planted, fd, birth = sys.argv[1:]
if level == "everything":
    logging.basicConfig(level=logging.DEBUG)
else:
    from bot import logs
    logs.set_up("text", level)
if planted == "True":
    from bot.desk import Desk
    submit = Desk.submit
    async def talkative(self, caller, kind, about, answers, request, now):
        logging.getLogger("bot.desk").info("%s %s", kind, answers)
        return await submit(self, caller, kind, about, answers, request, now)
    Desk.submit = talkative
from bot.store import database
from tests.bot.process import Birth, _born
database.BUSY = 4.0     # longer than a shell waits, and shorter than a test
sys.exit(_born(Birth(**json.loads(birth)), socket.socket(fileno=int(fd))))
"""
"""The bot as `process.py` runs it, but with more in its log; planted, it has the mistake that we look for."""


@dataclass
class Hidden:
    """What must not be found, by what it is."""

    words: dict[str, str] = field(default_factory=dict)

    def word(self, what: str) -> str:
        """That a member types: a new one, unlike any other."""
        self.words[what] = f"Q{secrets.token_hex(5)}"
        return self.words[what]

    def secret(self, what: str, value: str) -> None:
        assert len(value) >= 8
        self.words[f"{what} {len(self.words)}"] = value

    def found_in(self, text: str) -> list[str]:
        """What it is, and the line."""
        lines = text.lower().split("\n")
        return [f"{what}: {line}" for what, word in self.words.items() for line in lines if word.lower() in line]


@asynccontextmanager
async def loud(environment: Mapping[str, str], now: datetime, log: Path, level: str, speed: float,
               planted: bool = False) -> AsyncIterator[Process]:
    """It is ended by SIGTERM."""
    here, there = socket.socketpair()
    birth = Birth(dict(environment), now.isoformat(), str(log), 0.0, speed)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, level, str(planted), str(there.fileno()), json.dumps(asdict(birth)),
        pass_fds=[there.fileno()], cwd=ROOT)
    there.close()
    reader, writer = await asyncio.open_connection(sock=here)
    try:
        bot = Process(child.pid, log, reader, writer)
        await bot.ready()
        yield bot
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 10) == 0, bot.last_words()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        writer.close()


BUSY = "The database did not take a transaction"


@asynccontextmanager
async def busy(folder: Path) -> AsyncIterator[None]:
    """Somebody else has the database for longer than we wait."""
    with closing(sqlite3.connect(folder / "ninety.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        await until(lambda: BUSY in (folder / "bot.log").read_text(encoding="utf-8"))


# --- Slack ------------------------------------------------------------------------------------------------------------


async def installed(town: Town, hidden: Hidden) -> None:
    """And not: somebody changes their mind, somebody comes back with a state of their own."""
    base, slack = town.environment["NINETY_PUBLIC_URL"], town.slack
    assert (await slack.install("T1", ORGANISER, base + INSTALL)).status == 200
    await slack.install("T1", ORGANISER, base + INSTALL, cancel=True)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        async with browser.get(base + INSTALL, allow_redirects=False) as page:
            cookie = page.headers["Set-Cookie"].partition(";")[0]
            links = map(unescape, re.findall(r'href="([^"]+)"', await page.text()))
        state = parse_qs(urlsplit(next(one for one in links if one.startswith(slack.authorize_url))).query)["state"][0]
        hidden.secret("state", state)
        code, other = hidden.word("code"), hidden.word("another state")
        for given in (state, state, other):
            query = {"code": code, "state": given, "error_description": hidden.word("description")}
            async with browser.get(base + REDIRECT, params=query, headers={"Cookie": cookie}) as page:
                assert page.status >= 400


async def a_run_on_slack(town: Town, hidden: Hidden) -> None:
    slack, word = town.slack, hidden.word
    ada, bo, chi = (f"U{name}" for name in ("ADA", "BO", "CHI"))
    for user in (ada, bo, chi):
        slack.add_user("T1", user, word("handle"))
        slack.teams["T1"].channels[CHANNEL].members.add(user)
    await installed(town, hidden)

    form = await town.type(ORGANISER, "/cohort open")
    assert (await town.submit(ORGANISER, form, title=word("bad"), start=word("date"), zone=ZONE)).kind == "errors"
    assert not is_refused(await town.submit(ORGANISER, form, title=word("title"), start=START.isoformat(), zone=ZONE))
    for user in (ada, bo, chi):
        form = await town.type(user, "/cohort join")
        typed = {"name": word("name"), "shown": "name", "nudges": "yes"}
        assert (await town.submit(user, form, **typed, zone=word("zone"))).kind == "errors"
        assert not is_refused(await town.submit(user, form, **typed, zone=ZONE))
    slack.fault("chat.postMessage", Fail(500), Drop(accepted=True), Throttle(2))
    await town.follow(WEEK_1 + MINUTES)

    for line in (f"/week {word('argument')}", f"/cohort {word('unknown')}", f"/{word('command')} {word('more')}",
                 f"/cohort link {word('link code')}", f"/cohort join {word('zone argument')}"):
        await town.type(ada, line)
    for user in (ada, bo):
        form = await town.type(user, "/checkin 1")
        typed = {"notes": word("notes"), "evidence": f"https://example.org/{word('evidence')}"}
        assert (await town.submit(user, form, **typed, hours=word("h")[:10])).kind == "errors"
        shown = await town.submit(user, form, **typed, hours="6")
        assert not is_refused(shown)
        await slack.open_home("T1", user)
    for line in ("/progress", "/leaderboard", "/week", "/cohort help", "/cohort rest 2", "/cohort link",
                 "/cohort settings"):
        await town.type(ada, line)
    await town.press(ada, town.posts()[-1], "Check in")
    await town.type(ORGANISER, "/cohort log")
    await town.type(ORGANISER, "/cohort bridge")

    # The database is busy, and then nothing can be shown either.
    form = await town.type(chi, "/checkin 1")
    async with busy(town.folder):
        asking = asyncio.create_task(town.type(ada, "/progress", within=5))
        await asyncio.sleep(0.2)
        slack.fault("views.update", Drop(accepted=False), Fail(500), *[Fail(503)] * 3)
        slack.fault("response_url", Fail(500), Drop(accepted=False))
        waiting = await town.submit(chi, form, hours="6", notes=word("unsaved"))
        assert waiting.view is not None
        await asking
    await slack.until(lambda: slack.done("views.update") or len(town.direct(chi)), 10)
    slack.fault("views.open", Drop(accepted=False), Fail(503))
    await town.type(bo, "/checkin 1")
    # What breaks a handler, and is not acknowledged then.
    slack.patience = 0.5
    states: list[object] = [{"values": {}}, {"values": {"field:notes": word("values")}}, word("state")]
    for broken in states:
        view = {"type": "modal", "callback_id": "form:check-in", "private_metadata": json.dumps(
            {"kind": "check-in", "about": word("about"), "cohort": 1, "room": CHANNEL}), "blocks": [],
            "title": {"type": "plain_text", "text": word("form title")}, "id": "V1", "hash": "1", "state": broken}
        try:
            await slack.send("interactive", {**slack._who("T1", ada), "type": "view_submission", "view": view,
                                             "trigger_id": slack.trigger("T1", ada)})
        except NoAnswer:
            pass
    for event in ({"type": "message", "text": word("message"), "user": ada, "channel": CHANNEL},
                  {"type": "app_home_opened", "tab": "home", "who": word("event")}):
        await slack.event("T1", event)
    slack.patience = 3.0
    if town.kind == "http":
        sent = slack.sent[-1]
        assert (await slack.knock(sent.kind, sent.payload, signature=word("signature")))[0] == 401
        async with aiohttp.ClientSession() as session, session.post(
                slack.request_url or "", data=word("body"), headers={"Content-Type": "application/json"}) as answer:
            assert answer.status >= 400
    else:
        await slack.disconnect("refresh_requested")
        await slack.until(lambda: slack.sockets)
        slack.cut_sockets()
        await slack.until(lambda: slack.sockets, 15)
    slack.disable("T1", bo)
    await town.follow(NUDGE_1 + 5 * MINUTES)
    slack.revoke("T1")
    await slack.settled()
    await town.reach(NUDGE_1 + 30 * MINUTES)
    await town.reach(local(date(2099, 2, 9), "09:00", ZONE))

    for token in slack.tokens:
        hidden.secret("token", token)
    for name in ("signing_secret", "client_secret", "verification_token"):
        hidden.secret(name, getattr(slack, name))
    hidden.secret("key", town.environment["NINETY_SECRET_KEY"])
    for url in slack._response_urls:
        hidden.secret("response_url", url)
    for trigger in slack._triggers:
        hidden.secret("trigger", trigger)
    for call in slack.calls:
        for name in ("code", "refresh_token"):
            if name in call.args and call.args[name] not in hidden.words.values():
                hidden.secret(name, str(call.args[name]))


@asynccontextmanager
async def on_slack(folder: Path, kind: Kind, level: str, *, planted: bool = False) -> AsyncIterator[Town]:
    async with town_of(folder, OPENED, kind, install=False, speed=200) as town:
        town.environment |= {
            "NINETY_SLACK_CLIENT_ID": town.slack.client_id, "NINETY_SLACK_CLIENT_SECRET": town.slack.client_secret,
            "NINETY_PUBLIC_URL": town.slack.redirect_uris[0], "NINETY_SECRET_KEY": Fernet.generate_key().decode()}
        town.slack.teams["T1"].users[ORGANISER] = Admin(ORGANISER, "organiser")
        async with loud(town.environment, OPENED, folder / "bot.log", level, 200, planted) as bot:
            town.processes.append(bot)
            await town.arrived()
            yield town


@pytest.mark.parametrize("kind", ["socket", "http"])
@pytest.mark.parametrize("level", ["info", "debug", "everything"])
async def test_no_word_and_no_secret_of_slack_is_in_the_log(tmp_path: Path, kind: Kind, level: str) -> None:
    hidden = Hidden()
    async with on_slack(tmp_path, kind, level) as town:
        await a_run_on_slack(town, hidden)

    assert hidden.found_in(town.log) == []
    # It is the log of that run, and says what went wrong.
    for said in (BUSY, "A send was cut off", "Slack asks to wait",
                 "its tokens are deleted", "KeyError"):
        assert said in town.log
    assert ("DEBUG" in town.log) == (level == "everything")


async def test_a_word_that_is_logged_is_found(tmp_path: Path) -> None:
    """The test of the tests above."""
    hidden = Hidden()
    async with on_slack(tmp_path, "http", "info", planted=True) as town:
        await a_run_on_slack(town, hidden)

    told = {one.partition(":")[0] for one in hidden.found_in(town.log)}
    assert {"title", "name", "zone", "notes", "evidence", "unsaved"} <= told
    assert Hidden({"token": "xoxb-1-abcdef"}).found_in("INFO: GET /?token=XOXB-1-ABCDEF") == [
        "token: info: get /?token=xoxb-1-abcdef"]


# --- Discord ----------------------------------------------------------------------------------------------------------


async def a_run_on_discord(town: discord_stage.Stage, hidden: Hidden) -> None:
    word, wire, channel = hidden.word, town.discord, town.channel
    form = await wire.type(town.organiser, channel, "cohort open")
    await wire.submit(town.organiser, form, {"title": word("bad"), "start": word("date")[:10], "zone": ZONE})
    form = await wire.type(town.organiser, channel, "cohort open")
    opened = await wire.submit(town.organiser, form, {"title": word("title"), "start": START.isoformat(), "zone": ZONE})
    assert not discord_stage.is_refused(opened), opened.text
    users = town.join(*(word("handle") for _ in range(3)))
    for user in users:
        for zone in (word("zone"), ZONE):
            form = await wire.type(user, channel, "cohort join")
            joined = await wire.submit(user, form, {"name": word("name"), "shown": "name", "nudges": "yes",
                                                    "zone": zone})
            assert discord_stage.is_refused(joined) == (zone != ZONE), joined.text
    wire.fail("POST /channels/*/messages", discord.Broken(500), discord.Cut(after=True), discord.Limited(2.0))
    await town.follow(WEEK_1 + MINUTES)
    ada, bo, chi = users
    for line, options in (("week", {"week": word("argument")}), ("cohort link", {"code": word("link code")}),
                          ("checkin", {"week": word("step")})):
        await wire.type(ada, channel, line, options)
    for user in (ada, bo):
        typed = {"notes": word("notes"), "evidence": f"https://example.org/{word('evidence')}"}
        for hours in (word("h")[:10], "6"):
            form = await wire.type(user, channel, "checkin", {"week": "1"})
            shown = await wire.submit(user, form, {**typed, "hours": hours})
            assert discord_stage.is_refused(shown) == (hours != "6"), shown.text
    for line in ("progress", "leaderboard", "week", "cohort help", "cohort link", "cohort settings"):
        await wire.type(ada, channel, line)
    form = await wire.type(chi, channel, "checkin", {"week": "1"})
    async with busy(town.folder):
        await wire.submit(chi, form, {"hours": "6", "notes": word("unsaved")})
        await discord_stage.until(lambda: BUSY in (town.folder / "bot.log").read_text(), 30)
    await wire.cut_gateway(4000)
    await wire.gateway.reconnect()
    await wire.gateway.until(lambda: wire.gateway.ready)
    wire.close_dms(bo)
    await town.follow(NUDGE_1 + 5 * MINUTES)
    await wire.leave(ada)

    hidden.secret("token", discord_stage.TOKEN)
    for interaction in wire.interactions:
        hidden.secret("interaction token", interaction.token)


@pytest.mark.parametrize("level", ["info", "debug", "everything"])
async def test_no_word_and_no_secret_of_discord_is_in_the_log(tmp_path: Path, level: str) -> None:
    hidden = Hidden()
    async with discord_stage.stage(tmp_path, OPENED, speed=200, dm_opens=0.0) as town:
        async with loud(town.environment, OPENED, tmp_path / "bot.log", level, 200) as bot:
            town.processes.append(bot)
            await town.on_discord()
            await a_run_on_discord(town, hidden)

    log = (tmp_path / "bot.log").read_text(encoding="utf-8")
    assert hidden.found_in(log) == []
    for said in (BUSY, "A send was cut off"):
        assert said in log
    assert ("DEBUG" in log) == (level == "everything")


