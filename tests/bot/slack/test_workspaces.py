"""Many workspaces with one process: each installs the app by its link, and none sees anything of another's.

In the year 2099, since Bolt stamps installations by the clock of the machine, and events are compared with that.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from cryptography.fernet import Fernet

from bot.ledger import Cohort, State
from bot.slack.installations import Installations, cipher
from bot.slack.manifest import INSTALL, REDIRECT, SCOPES
from bot.store.database import Database
from content.model import PostKind
from tests.bot.slack.stage import Admin
from tests.bot.slack.town import CHANNEL, KINDS, MINUTES, ORGANISER, Kind, Town, is_refused, local, title, town_of
from tests.emulators.slack import Code

OPENED, START, ZONE = datetime(2099, 1, 26, 12, tzinfo=UTC), date(2099, 2, 2), "Europe/Berlin"
WELCOME = local(date(2099, 1, 30), "09:00", ZONE)
WEEK_1 = local(START, "09:00", ZONE)
NUDGE_1 = local(date(2099, 2, 8), "17:00", ZONE)
TEAMS = ("T1", "T2")
both = pytest.mark.parametrize("kind", KINDS)


@asynccontextmanager
async def two(folder: Path, kind: Kind, **more: Any) -> AsyncIterator[Town]:
    """Workspaces that have installed the app; the bot runs."""
    async with town_of(folder, OPENED, kind, install=False, **more) as town:
        town.environment |= {
            "NINETY_SLACK_CLIENT_ID": town.slack.client_id, "NINETY_SLACK_CLIENT_SECRET": town.slack.client_secret,
            "NINETY_PUBLIC_URL": town.slack.redirect_uris[0], "NINETY_SECRET_KEY": Fernet.generate_key().decode()}
        for team in TEAMS:
            town.slack.teams[team].users[ORGANISER] = Admin(ORGANISER, "organiser")
        await town.start()
        for team in TEAMS:
            await install(town, team)
        yield town


async def install(town: Town, team: str) -> None:
    page = await town.slack.install(team, ORGANISER, town.environment["NINETY_PUBLIC_URL"] + INSTALL)
    assert page.status == 200, page.text


async def cohorts(town: Town, *names: str) -> list[Cohort]:
    """One in each workspace, of the same people."""
    return [await town.open(START, ZONE, town.join(*names, team=team), team=team, title=f"Cohort {team}",
                            named=f"{{}} of {team}") for team in TEAMS]


def seen(town: Town, team: str) -> str:
    """All that anybody in the workspace can read."""
    one = town.slack.teams[team]
    views = [view.payload() for view in town.slack.views.values() if view.team == team]
    return json.dumps([[message.payload() for message in (*one.messages(), *one.ephemerals)], views])


async def test_two_workspaces_with_the_same_ids_see_nothing_of_each_other(tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        async with two(tmp_path / kind, kind) as town:
            users = {team: town.join("ada", "bo", "chi", "dana", team=team) for team in TEAMS}
            assert users["T1"] == users["T2"]
            for team in TEAMS:
                form = await town.type(ORGANISER, "/cohort open", team=team)
                opened = await town.submit(ORGANISER, form, team, title=f"Cohort{team}", start=START.isoformat(),
                                           zone=ZONE)
                assert not is_refused(opened), opened
                for user in users[team]:
                    form = await town.type(user, "/cohort join", team=team)
                    joined = await town.submit(user, form, team, name=f"{user.title()}{team}", shown="name", zone=ZONE,
                                               nudges="yes")
                    assert not is_refused(joined), joined
            await town.follow(WEEK_1)
            for team in TEAMS:
                for user in users[team][:3]:
                    # In the second they did more.
                    done = ["stream-a-chat"] if team == "T2" else []
                    shown = await town.check_in(user, team=team, tasks=done, notes=f"Notes{team}")
                    assert not is_refused(shown)
            await town.follow(NUDGE_1 + 5 * MINUTES)

            boards = {team: await town.board(users[team][3], team=team) for team in TEAMS}
            assert {name for name, _ in boards["T1"]} == {"UadaT1", "UboT1", "UchiT1"}
            assert {name for name, _ in boards["T2"]} == {"UadaT2", "UboT2", "UchiT2"}
            assert {points for _, points in boards["T1"]}.isdisjoint({points for _, points in boards["T2"]})
            for team, other in (TEAMS, TEAMS[::-1]):
                assert [len(town.direct(user, team)) for user in users[team]] == [0, 0, 0, 1]
                for user in users[team]:
                    home = await town.slack.open_home(team, user)
                    assert f"{user.title()}{team}" in home.words
                text = seen(town, team)
                assert f"Cohort{team} begins soon" in text
                assert not [word for word in ("Cohort", "Uada", "Ubo", "Udana", "Notes")
                            if f"{word}{other}" in text]
            assert "Traceback" not in town.log


async def test_of_ten_that_come_back_with_one_state_one_has_installed_it(tmp_path: Path) -> None:
    async with two(tmp_path, "http") as town, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        base = town.environment["NINETY_PUBLIC_URL"]
        async with browser.get(base + INSTALL, allow_redirects=False) as page:
            cookie = page.headers["Set-Cookie"].partition(";")[0]
            links = map(unescape, re.findall(r'href="([^"]+)"', await page.text()))
            link = next(one for one in links if one.startswith(town.slack.authorize_url))
        state = parse_qs(urlsplit(link).query)["state"][0]
        codes = [f"{town.slack.client_id}.code-{number}" for number in range(10)]
        for code in codes:
            town.slack.codes[code] = Code("T1", ORGANISER, frozenset(SCOPES), base + REDIRECT,
                                          town.slack.monotonic())
        before = town.slack.done("oauth.v2.access")

        async def back(code: str) -> int:
            query = urlencode({"code": code, "state": state})
            async with browser.get(f"{base}{REDIRECT}?{query}", headers={"Cookie": cookie}) as page:
                return page.status

        ended = sorted(await asyncio.gather(*map(back, codes)))
        assert (ended[0], ended[1] >= 400) == (200, True), ended
        assert town.slack.done("oauth.v2.access") - before == 1
        assert await back(codes[0]) >= 400


async def readable(town: Town) -> list[str]:
    """The tokens that the database holds for who has the key."""
    async with Database(town.environment["NINETY_DATABASE_URL"]) as database:
        kept = Installations(database, cipher(town.environment["NINETY_SECRET_KEY"]))
        found = [await kept.of(team) for team in TEAMS]
        return [one.bot_token or "" for one in found if one is not None]


@both
@pytest.mark.parametrize("how", ["uninstall", "revoke"])
async def test_who_takes_the_app_away_takes_the_tokens_and_nothing_from_anybody_else(
        tmp_path: Path, kind: Kind, how: str) -> None:
    async with two(tmp_path, kind) as town:
        first, second = await cohorts(town, "ada", "bo", "chi", "dana")
        given = [token.value for token in town.slack.tokens.values() if token.team]
        assert sorted(await readable(town)) == sorted(given)
        await town.follow(WELCOME - MINUTES)
        getattr(town.slack, how)("T1")
        await town.slack.settled()

        assert await readable(town) == [value for value in given if "-T2-" in value]
        kept = b"".join(path.read_bytes() for path in town.folder.glob("ninety.db*"))
        assert not [value for value in (*given, town.slack.client_secret) if value.encode() in kept]

        # Not by every ten minutes at which it is tried again.
        for instant in (WELCOME, WEEK_1, NUDGE_1, NUDGE_1 + 5 * MINUTES):
            await town.reach(instant)
        assert title(town.posts(team="T2")[0]) == "Cohort T2 begins soon"
        assert [len(town.direct(user, "T2")) for user in ("UADA", "UBO")] == [1, 1]
        assert not is_refused(await town.type("UADA", "/week", team="T2"))
        assert set(town.states(second)) == {State.SENT}
        assert town.posts(team="T1") == [] and State.SENT not in town.states(first)
        hindered = {one.reason for one in town.deliveries(first) if one.delivery.kind is PostKind.NUDGE}
        assert hindered == {"I am not installed in this workspace any more: install the app again"}

        # It thinks better of it.
        town.slack.teams["T1"].channels[CHANNEL].members.add(town.slack.teams["T1"].bot_user)
        await install(town, "T1")
        await town.follow(NUDGE_1 + 30 * MINUTES)
        assert [len(town.direct(user, "T1")) for user in ("UADA", "UBO")] == [1, 1]
        assert "Traceback" not in town.log


@both
async def test_tokens_that_expire_are_renewed_once_while_reminders_go_out(tmp_path: Path, kind: Kind) -> None:
    """They live for twelve hours, and Slack takes a refresh token once."""
    async with two(tmp_path, kind, rotation=True) as town:
        both_of_them = await cohorts(town, *(f"member {number}" for number in range(30)))
        users = [f"UMEMBER{number}" for number in range(30)]
        await town.follow(NUDGE_1 - timedelta(days=1))
        renewed = town.slack.done("oauth.v2.access")
        spent = {team: town.slack.teams[team].token for team in TEAMS}

        # Twenty at once in each workspace find their token expired.
        await town.follow(NUDGE_1 + 5 * MINUTES)

        for team, cohort in zip(TEAMS, both_of_them, strict=True):
            assert [len(town.direct(user, team)) for user in users] == [1] * 30
            assert set(town.states(cohort)) == {State.SENT}
            assert town.slack.teams[team].token is not spent[team]
        assert town.slack.done("oauth.v2.access") - renewed == len(TEAMS)
        assert not [call for call in town.slack.calls if call.error is not None]
        kept = b"".join(path.read_bytes() for path in town.folder.glob("ninety.db*"))
        assert not [one for one in town.slack.tokens if one.encode() in kept]
        assert "Traceback" not in town.log
