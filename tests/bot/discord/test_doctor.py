"""What an organiser is told before the first post, by a Discord on loopback that has been set up wrong."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from discord.http import Route
from hypothesis import given
from hypothesis import strategies as st

from bot.discord.commands import differences, payload
from bot.discord.doctor import examine, invite, permissions
from bot.discord.rest import Rest
from bot.doctor import Finding, apart
from bot.ledger import Cohort, CohortId, Room
from scheduler.clock import Clock, RealClock, VirtualClock
from tests.bot.build import edition
from tests.emulators import discord as emulator
from tests.emulators.discord import ROUTES, Broken, Call, Discord, Limited, Permission
from tests.emulators.discord_limits import Limits
from tests.emulators.discord_world import BOT_MAY, Channel, Guild, Json, Role

APPLICATION = "1100000000000000001"
TOKEN = b64encode(APPLICATION.encode()).decode().strip("=") + ".Gabcde.of-the-tests"
COMMANDS = payload(edition().voice)
OURS = Finding("ok", f"the token is that of Ninety, application {APPLICATION}")
CLOCK = Finding("ok", "this machine's clock agrees with Discord's")
PUBLIC = Finding("note", "the bot is public: whoever has its link can add it to a server of theirs; Public Bot on the "
                         "page Bot switches that off")
LINK = ("invite the bot with this link, also again where it lacks a permission: "
        f"https://discord.com/oauth2/authorize?client_id={APPLICATION}&scope=bot+applications.commands&permissions=")
BARE = Finding("note", f"{LINK}{1 << 10 | 1 << 11 | 1 << 16}")
UNPUBLISHED = Finding("note", "Discord does not have the bot's commands yet: `ninety run` publishes them at its start")
HOMELESS = Finding("note", "no cohort lives on Discord yet: type /cohort open in its channel, or use `ninety cohort "
                           "open` with --room discord:SERVER:CHANNEL")
PORTAL = ("copy it from the page Bot of the application in Discord's developer portal (Reset Token shows a new one)")


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py keeps its address for the whole process; other tests shall find their own."""
    monkeypatch.setattr(Route, "BASE", Route.BASE)


@pytest.fixture
async def discord() -> AsyncIterator[Discord]:
    async with Discord(token=TOKEN) as running:
        yield running
    assert running.unknown == []


async def findings(discord: Discord | str, *cohorts: Cohort, token: str = TOKEN, clock: Clock | None = None) \
        -> list[Finding]:
    api_url = discord if isinstance(discord, str) else discord.api_url
    return [one async for one in examine(token, api_url, clock or RealClock(), cohorts, COMMANDS)]


def cohort(guild: Guild, channel: Channel | str, *, start: date | None = None, threads: bool = False,
           role: Role | str = "") -> Cohort:
    """That begins today, if not told otherwise."""
    first = start or datetime.now(UTC).date()
    return Cohort(CohortId(1), "Autumn", first, "Europe/Berlin", edition(),
                  Room("discord", guild.id, channel if isinstance(channel, str) else channel.id), None, "salt",
                  datetime(first.year, first.month, first.day, tzinfo=UTC), threads=threads,
                  graduate_role=role if isinstance(role, str) else role.id)


async def of_cohort(discord: Discord, one: Cohort) -> list[Finding]:
    """The findings about it, without its name in front."""
    front = f"cohort {one.id}, {one.title}: "
    return [replace(found, text=found.text.removeprefix(front)) for found in await findings(discord, one)
            if found.text.startswith(front)]


# --- all is well ------------------------------------------------------------------------------------------------------


async def test_before_anything_is_set_up_the_link_and_the_next_step_are_told(discord: Discord) -> None:
    assert await findings(discord) == [OURS, CLOCK, PUBLIC, BARE, UNPUBLISHED, HOMELESS]


async def test_a_cohort_that_has_what_it_needs_is_ok(discord: Discord) -> None:
    guild = discord.add_guild("Evals Club")
    role = discord.add_role(guild, "Graduate")
    full = cohort(guild, discord.add_channel(guild, "cohort"), threads=True, role=role)
    found = await findings(discord, full)
    assert found == [OURS, CLOCK, PUBLIC, Finding("note", f"{LINK}{permissions(True, True)}"), UNPUBLISHED,
                     Finding("ok", "cohort 1, Autumn: the bot has what it needs in the server Evals Club")]
    assert {done.route.split()[0] for done in discord.done} == {"GET"}, "it changes nothing"
    assert discord.invalids == 0


async def test_a_cohort_elsewhere_is_not_discords_affair(discord: Discord) -> None:
    local = replace(cohort(discord.add_guild("Club"), "1"), room=Room("local", "", "ninety"))
    assert await findings(discord, local) == [OURS, CLOCK, PUBLIC, BARE, UNPUBLISHED, HOMELESS]


async def test_a_cohort_that_is_over_asks_for_nothing(discord: Discord) -> None:
    """Its channel may well be gone, and no problem of today's."""
    old = cohort(discord.add_guild("Club"), "12345", start=date(2020, 1, 6), threads=True)
    assert await findings(discord, old) == [
        OURS, CLOCK, PUBLIC, BARE, UNPUBLISHED,
        Finding("note", "cohort 1, Autumn: it is over, so its room was not looked at")]


def test_the_invitation_asks_for_no_more_than_is_needed() -> None:
    """The bits of Discord's documentation (topics/permissions)."""
    bare, threads, role = 1 << 10 | 1 << 11 | 1 << 16, 1 << 35 | 1 << 38, 1 << 28
    assert [permissions(False, False), permissions(True, False), permissions(False, True), permissions(True, True)] == \
        [bare, bare | threads, bare | role, bare | threads | role]
    assert invite("42", bare) == \
        "https://discord.com/oauth2/authorize?client_id=42&scope=bot+applications.commands&permissions=68608"


# --- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "says"), [
    ("", f"NINETY_DISCORD_TOKEN is empty: {PORTAL}"),
    (" \n", f"NINETY_DISCORD_TOKEN is empty: {PORTAL}"),
    (f"Bot {TOKEN}", "the token has a word in front of it, such as Bot: leave only what follows it"),
    (f'"bot {TOKEN}"', "the token has a word in front of it, such as Bot: leave only what follows it"),
    *((wrong, "the token has something in it that no token has, such as a space, the end of a line or a quotation "
              f"mark: {PORTAL}") for wrong in (f"{TOKEN}\n", f"'{TOKEN}'", f"{TOKEN[:9]} {TOKEN[9:]}", f"{TOKEN}…")),
])
async def test_a_token_that_is_mistyped_is_not_sent_to_discord(discord: Discord, token: str, says: str) -> None:
    assert await findings(discord, token=token) == [Finding("problem", says)]
    assert discord.done == []


@pytest.mark.parametrize(("token", "kind"), [
    (APPLICATION, "it looks like an id"),
    ("0123456789abcdef" * 4, "it looks like the application's public key"),
    ("aB3_-" * 6 + "xy", "it looks like the client secret"),
    ("hello", "it does not look like one; those have three parts with dots between them"),
    (TOKEN[:-1], "it was replaced by a newer one, or was not copied whole"),
])
async def test_a_token_that_discord_does_not_know_is_tried_once_and_never_shown(
        discord: Discord, token: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    found = await findings(discord, token=token)
    assert found == [Finding("problem", f"Discord does not know this token: {kind}. For the bot's token, {PORTAL}")]
    assert [done.status for done in discord.done] == [401]
    assert token not in found[0].text + caplog.text


async def test_a_token_of_an_unusual_form_is_good_if_discord_takes_it() -> None:
    async with Discord(token="as-new-as-it-gets") as discord:  # noqa: S106  # of nobody
        assert (await findings(discord, token="as-new-as-it-gets"))[0] == OURS  # noqa: S106


# --- the application --------------------------------------------------------------------------------------------------


async def with_application(monkeypatch: pytest.MonkeyPatch, **changes: object) -> list[Finding]:
    usual = ROUTES["GET /oauth2/applications/@me"]

    async def answer(discord: Discord, call: Call) -> tuple[int, Any]:
        status, body = await usual(discord, call)
        assert isinstance(body, dict)
        return status, body | changes

    monkeypatch.setitem(emulator.ROUTES, "GET /oauth2/applications/@me", answer)
    async with Discord(token=TOKEN) as discord:
        return await findings(discord)


@pytest.mark.parametrize(("changes", "told"), [
    ({"flags": 1 << 12 | 1 << 15 | 1 << 19},
     [Finding("note", "these privileged intents are on and not needed: Presence, Server Members, Message Content; "
                      "switch them off on the page Bot"), PUBLIC]),
    ({"flags": 1 << 18 | 1 << 23}, [Finding("note", "these privileged intents are on and not needed: Message Content; "
                                                    "switch them off on the page Bot"), PUBLIC]),
    ({"flags": 1 << 15}, [Finding("note", "these privileged intents are on and not needed: Server Members; switch them "
                                          "off on the page Bot"), PUBLIC]),
    ({"flags": 1 << 23}, [PUBLIC]),
    ({"bot_public": False}, [Finding("note", "the bot is not public: only the owner of the application can add it to "
                                             "a server")]),
    ({"interactions_endpoint_url": "https://example.org/"},
     [Finding("problem", "Discord sends commands and buttons to a web address and not to this bot: empty Interactions "
                         "Endpoint URL on the page General Information"), PUBLIC]),
    ({"bot_require_code_grant": True},
     [Finding("problem", "nobody can invite the bot by a link: switch Requires OAuth2 Code Grant off on the page Bot"),
      PUBLIC]),
])
async def test_settings_of_the_application_are_told_where_they_matter(
        monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], told: list[Finding]) -> None:
    assert await with_application(monkeypatch, **changes) == [OURS, CLOCK, *told, BARE, UNPUBLISHED, HOMELESS]


# --- the clocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "kind", "says"), [
    (-90, "problem", "behind Discord's, so posts and deadlines come at the wrong time: let it set itself by network "
                     "time (NTP)"),
    (-30, "note", "behind Discord's: let it set itself by network time (NTP)"),
    (30, "note", "ahead of Discord's: let it set itself by network time (NTP)"),
    (90, "problem", "ahead of Discord's, so posts and deadlines come at the wrong time: let it set itself by network "
                    "time (NTP)"),
])
async def test_a_clock_that_is_wrong_is_told_by_how_much(discord: Discord, ahead: int, kind: str, says: str) -> None:
    wrong = VirtualClock(datetime.now(UTC) + timedelta(seconds=ahead), runs=True)
    found = (await findings(discord, clock=wrong))[1]
    seconds = int(found.text.split(" is ")[1].split(" s ")[0])
    assert (found.kind, found.text.split(" s ", 1)[1]) == (kind, says)
    assert abs(ahead) - 10 < seconds <= abs(ahead)


INSTANT = datetime(2027, 1, 4, tzinfo=UTC)
SPANS = st.timedeltas(timedelta(), timedelta(seconds=30))


@given(lead=st.timedeltas(timedelta(minutes=-5), timedelta(minutes=5)), since=SPANS, wait=SPANS, then=SPANS)
def test_the_clocks_are_never_said_to_be_further_apart_than_they_are(
        lead: timedelta, since: timedelta, wait: timedelta, then: timedelta) -> None:
    """And what remains unsaid is less than the second that the header leaves out, and the time under way."""
    theirs = INSTANT + since + wait
    said = apart(INSTANT + since + lead, theirs + then + lead, theirs.replace(microsecond=0))
    assert said == timedelta() or (said > timedelta()) == (lead > timedelta())
    assert abs(said) <= abs(lead) <= abs(said) + wait + then + timedelta(seconds=1)


# --- the commands -----------------------------------------------------------------------------------------------------


async def publish(discord: Discord, commands: list[Json]) -> None:
    async with aiohttp.ClientSession() as session:
        await Rest(session, TOKEN, discord.api_url).call(
            "PUT", "/applications/{application}/commands", json=commands, application=APPLICATION)


async def test_published_commands_are_known_again_through_all_that_discord_adds(discord: Discord) -> None:
    await publish(discord, COMMANDS)
    assert discord.commands != COMMANDS
    assert Finding("ok", "Discord has the bot's commands as they are now") in await findings(discord)


async def test_commands_that_differ_are_named(discord: Discord) -> None:
    week, *rest = [one for one in COMMANDS if one["name"] != "progress"]
    await publish(discord, [week | {"description": "Another"}, *rest,
                            {"type": 1, "name": "ancient", "description": "Long gone"}])
    assert Finding("note", f"Discord has /ancient, /{week['name']} and /progress in another form than this guide and "
                           "this version: `ninety run` publishes them at its start") in await findings(discord)


AS_DISCORD_SAYS_IT: Json = {
    "id": "1", "application_id": "2", "version": "3", "default_member_permissions": None, "type": 1, "name": "week",
    "name_localizations": None, "description": "Shows a week", "description_localizations": None,
    "dm_permission": True, "contexts": [1, 0], "integration_types": [0], "nsfw": False,
    "options": [{"type": 3, "name": "week", "name_localizations": None, "description": "Which", "autocomplete": True,
                 "description_localizations": None}]}
OWN: Json = {
    "type": 1, "name": "week", "description": "Shows a week", "contexts": [0, 1], "integration_types": [0],
    "options": [{"type": 3, "name": "week", "description": "Which", "required": False, "autocomplete": True}]}
OPTION: Json = OWN["options"][0]


def test_defaults_are_no_difference() -> None:
    assert differences([AS_DISCORD_SAYS_IT], [OWN]) == []


@pytest.mark.parametrize("change", [
    {"description": "Shows"}, {"contexts": [0]}, {"integration_types": [0, 1]}, {"nsfw": True}, {"type": 2},
    {"default_member_permissions": "0"}, {"options": []}, {"options": [OPTION | {"required": True}]},
    {"options": [OPTION | {"autocomplete": False}]}, {"options": [OPTION, OPTION | {"name": "other"}]},
    {"options": [OPTION | {"min_length": 0}]}, {"name": "weeks"},
])
def test_everything_else_is_a_difference(change: Json) -> None:
    changed = OWN | change
    assert differences([AS_DISCORD_SAYS_IT], [changed]) == sorted({"week", changed["name"]})


# --- the rooms --------------------------------------------------------------------------------------------------------

SHOWN = {
    Permission.VIEW_CHANNEL: "View Channel", Permission.SEND_MESSAGES: "Send Messages",
    Permission.READ_MESSAGE_HISTORY: "Read Message History",
    Permission.CREATE_PUBLIC_THREADS: "Create Public Threads",
    Permission.SEND_MESSAGES_IN_THREADS: "Send Messages in Threads"}


def listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@pytest.mark.parametrize("threads", [False, True])
async def test_every_missing_permission_is_named_and_no_other(discord: Discord, threads: bool) -> None:
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    wanted = list(SHOWN)[:5 if threads else 3]
    discord.limits = Limits(_racing())
    for given_ in product((True, False), repeat=len(SHOWN)):
        has = [one for one, is_given in zip(SHOWN, given_, strict=True) if is_given]
        channel.bits = Permission(sum(has))
        missing = [SHOWN[one] for one in wanted if one not in has]
        if Permission.VIEW_CHANNEL not in has:
            told = Finding("problem", f"the bot cannot see the channel {channel.id}: in Edit Channel, Permissions, "
                                      f"allow ninety {listed([SHOWN[one] for one in wanted])}")
        elif missing:
            told = Finding("problem", f"the bot lacks {listed(missing)} in #cohort: in Edit Channel, Permissions, "
                                      f"allow ninety {'these' if len(missing) > 1 else 'that'}")
        else:
            told = Finding("ok", "the bot has what it needs in the server Club")
        assert await of_cohort(discord, cohort(guild, channel, threads=threads)) == [told]


def _racing() -> Any:
    """A clock by which no call comes soon after another, so that no limit is met."""
    ticks = iter(range(0, 1 << 30, 10))
    return lambda: float(next(ticks))


async def test_an_administrator_lacks_nothing(discord: Discord) -> None:
    guild = discord.add_guild("Club", Permission.ADMINISTRATOR | Permission.VIEW_CHANNEL)
    channel = discord.add_channel(guild, "cohort", Permission.VIEW_CHANNEL)
    assert await of_cohort(discord, cohort(guild, channel, threads=True)) == [
        Finding("ok", "the bot has what it needs in the server Club")]


async def test_a_server_that_the_bot_is_not_in_is_told(discord: Discord) -> None:
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    await discord.remove_bot(guild)
    assert await of_cohort(discord, cohort(guild, channel, threads=True)) == [
        Finding("problem", f"the bot is not in the server {guild.id}: invite it with the link above")]


async def test_a_channel_that_is_deleted_is_told(discord: Discord) -> None:
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    await discord.delete_channel(channel)
    assert await of_cohort(discord, cohort(guild, channel)) == [
        Finding("problem", f"the channel {channel.id} is deleted, and nothing can be posted to it: open a cohort in "
                           "another one")]


async def test_a_channel_of_another_server_is_told(discord: Discord) -> None:
    channel = discord.add_channel(discord.add_guild("Elsewhere"), "cohort")
    assert await of_cohort(discord, cohort(discord.add_guild("Club"), channel)) == [
        Finding("problem", f"the channel {channel.id} is not one of the server Club, or of a kind that we do not know: "
                           "open a cohort in a text channel")]


async def test_in_a_thread_no_cohort_can_live(discord: Discord) -> None:
    """What is typed there is for the cohort of the channel, so nobody could join."""
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    thread = Channel(discord.world.ids.new(), 11, "week 1", guild, parent=channel, created=datetime.now(UTC))
    guild.channels[thread.id] = discord.world.channels[thread.id] = thread
    assert await of_cohort(discord, cohort(guild, thread)) == [
        Finding("problem", "week 1 is a public thread and no channel where a cohort can live: open one in a text "
                           "channel")]


@pytest.mark.parametrize(("type", "threads", "told"), [
    (2, False, Finding("ok", "the bot has what it needs in the server Club")),
    (2, True, Finding("problem", "#cohort cannot have threads, which the cohort wants: only a text channel can")),
    (4, False, Finding("problem", "cohort is a category and no channel where a cohort can live: open one in a text "
                                  "channel")),
    (5, True, Finding("ok", "the bot has what it needs in the server Club")),
    (15, False, Finding("problem", "cohort is a forum and no channel where a cohort can live: open one in a text "
                                   "channel")),
])
async def test_the_kind_of_channel_must_be_one_that_can_be_posted_in(
        discord: Discord, monkeypatch: pytest.MonkeyPatch, type: int, threads: bool, told: Finding) -> None:
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    usual = ROUTES["GET /channels/{}"]

    async def answer(discord: Discord, call: Call) -> tuple[int, Any]:
        status, body = await usual(discord, call)
        assert isinstance(body, dict)
        return status, body | {"type": type, "bitrate": 64_000, "user_limit": 0, "available_tags": []}

    monkeypatch.setitem(emulator.ROUTES, "GET /channels/{}", answer)
    assert await of_cohort(discord, cohort(guild, channel, threads=threads)) == [told]


async def test_a_bot_that_is_timed_out_is_not_told_to_be_given_permissions(
        discord: Discord, monkeypatch: pytest.MonkeyPatch) -> None:
    guild = discord.add_guild("Club")
    channel = discord.add_channel(guild, "cohort")
    usual = ROUTES["GET /guilds/{}/members/{}"]

    async def answer(discord: Discord, call: Call) -> tuple[int, Any]:
        status, body = await usual(discord, call)
        assert isinstance(body, dict)
        return status, body | {"communication_disabled_until": (datetime.now(UTC) + timedelta(days=1)).isoformat()}

    monkeypatch.setitem(emulator.ROUTES, "GET /guilds/{}/members/{}", answer)
    assert await of_cohort(discord, cohort(guild, channel)) == [
        Finding("problem", "the bot is timed out in the server Club and cannot post: click its name there, and choose "
                           "Remove Timeout")]


# --- the graduates' role ----------------------------------------------------------------------------------------------


async def of_role(discord: Discord, role: str, guild: Guild) -> list[Finding]:
    return await of_cohort(discord, cohort(guild, discord.add_channel(guild, "cohort"), role=role))


async def test_the_role_must_be_below_the_bots_and_the_bot_may_manage_roles(discord: Discord) -> None:
    guild = discord.add_guild("Club", BOT_MAY & ~Permission.MANAGE_ROLES)
    above = discord.add_role(guild, "Graduate", above_bot=True)
    assert await of_role(discord, above.id, guild) == [
        Finding("problem", "the bot lacks Manage Roles: in Server Settings, Roles, allow ninety that"),
        Finding("problem", "the bot's role is not above Graduate, which graduates get: in Server Settings, Roles, drag "
                           "ninety above it")]


@pytest.mark.parametrize("gone", ["12345", "Graduate"])
async def test_a_role_that_is_not_there_is_told(discord: Discord, gone: str) -> None:
    assert await of_role(discord, gone, discord.add_guild("Club")) == [
        Finding("problem", f"the role {gone} that graduates get is not in the server Club: they will get none")]


async def test_roles_that_nobody_can_give_are_told(discord: Discord) -> None:
    guild = discord.add_guild("Club")
    managed = Role(discord.world.ids.new(), "Booster", Permission(0), 0, managed_by="42")
    guild.roles[managed.id] = managed
    for role, name in ((managed.id, "Booster"), (guild.id, "@everyone")):
        assert await of_role(discord, role, guild) == [
            Finding("problem", f"the role {name} that graduates get cannot be given by anybody: they will get none")]


# --- Discord is not there ---------------------------------------------------------------------------------------------


async def test_without_a_network_there_is_one_problem() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        assert await findings(url) == [
            Finding("problem", f"Discord cannot be reached at {url} (ClientConnectorError): is there a network, or "
                               "does a firewall stand in between?")]


async def test_when_discord_fails_half_way_what_was_found_stays_found(discord: Discord) -> None:
    guild = discord.add_guild("Club")
    discord.fail("GET /guilds/*", Broken(503))
    found = await findings(discord, cohort(guild, discord.add_channel(guild, "cohort")))
    assert found == [OURS, CLOCK, PUBLIC, BARE, UNPUBLISHED, Finding(
        "problem", "Discord has trouble of its own (503): see https://discordstatus.com, and try again later")]


async def test_a_long_limit_is_told_and_not_sat_out(discord: Discord) -> None:
    discord.fail("GET /users/@me", Limited(600.0))
    assert await findings(discord) == [
        Finding("problem", "Discord wants us to wait 600 s: try again after that")]


@pytest.mark.parametrize(("status", "text", "says"), [
    (200, "<html>Please log in to the hotel's network</html>",
     "what answers at {} is not Discord: does a proxy stand in between, or is NINETY_DISCORD_API_URL wrong?"),
    (404, "<html>Nothing here</html>",
     "Discord answered 404 (code 0), which we did not expect: is NINETY_DISCORD_API_URL right? It is {}"),
    (429, "error code: 1015", "Discord has shut this address out for a while, for too many refused calls: stop the "
                              "bot, and try again in an hour"),
])
async def test_what_is_not_discord_is_told(status: int, text: str, says: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        assert await findings(url) == [Finding("problem", says.format(url))]
    finally:
        await runner.cleanup()
