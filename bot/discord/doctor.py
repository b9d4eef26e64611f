"""What an organiser needs before the first post: does the token work, and may the bot do there what the cohorts ask?

discord.py asks and works out the permissions; here each answer becomes a sentence with its cure. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import discord

from bot.discord.commands import Payload, differences
from bot.doctor import Finding, apart, clocks
from bot.herald import posts
from bot.ledger import Cohort
from scheduler.clock import Clock

PATIENCE, LONGEST_LIMIT = 45.0, 30.0
"""Seconds for each answer, in which discord.py asks again by itself where Discord broke (it gives up after 25), and
those of them that it may spend waiting because Discord asked it to (it takes no less)."""

_NAMES = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "read_message_history": "Read Message History",
    "create_public_threads": "Create Public Threads",
    "send_messages_in_threads": "Send Messages in Threads",
}
"""As Discord's settings name them."""
_PRIVILEGED = {
    "Presence": ("gateway_presence", "gateway_presence_limited"),
    "Server Members": ("gateway_guild_members", "gateway_guild_members_limited"),
    "Message Content": ("gateway_message_content", "gateway_message_content_limited"),
}
_COPY = "copy it from the page Bot of the application in Discord's developer portal (Reset Token shows a new one)"

T = TypeVar("T")


def permissions(threads: bool, role: bool) -> int:
    """What the bot needs in a server, as Discord's bits; `threads` and `role` as the cohorts there want them."""
    return _permissions(threads, role).value


def _permissions(threads: bool, role: bool) -> discord.Permissions:
    return discord.Permissions(
        view_channel=True, send_messages=True, read_message_history=True, create_public_threads=threads,
        send_messages_in_threads=threads, manage_roles=role)


def invite(application_id: str, permissions: int) -> str:
    return discord.utils.oauth_url(application_id, permissions=discord.Permissions(permissions),
                                   scopes=("bot", "applications.commands"))


async def examine(token: str, api_url: str, clock: Clock, cohorts: Sequence[Cohort], commands: Payload) \
        -> AsyncIterator[Finding]:
    """Ends after the first problem that makes the rest unknowable. `commands` is what we would publish."""
    if wrong := _mistyped(token):
        yield Finding("problem", wrong)
        return
    # discord.py takes the address from nowhere else, and for the whole process, which speaks to one Discord only.
    discord.http.Route.BASE = api_url.rstrip("/")
    watch = _Watch(clock)
    async with discord.Client(intents=discord.Intents(guilds=True), max_ratelimit_timeout=LONGEST_LIMIT,
                              http_trace=watch.trace) as client:
        try:
            async for finding in _findings(client, token, watch, clock.now(), cohorts, commands):
                yield finding
        except discord.LoginFailure:
            yield Finding("problem", _unknown(token))
        except _NotDiscord:
            yield Finding("problem", f"what answers at {api_url} is not Discord: does a proxy stand in between, or is "
                                     "NINETY_DISCORD_API_URL wrong?")
        except discord.RateLimited as limited:
            yield Finding("problem", f"Discord wants us to wait {limited.retry_after:.0f} s: try again after that")
        except discord.DiscordServerError as error:
            yield Finding("problem", f"Discord has trouble of its own ({error.status}): see "
                                     "https://discordstatus.com, and try again later")
        except discord.HTTPException as error:
            # Its words may quote what was asked.
            yield Finding("problem", _unexpected(error, api_url))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            yield Finding("problem", f"Discord cannot be reached at {api_url} ({type(error).__name__}): is there a "
                                     "network, or does a firewall stand in between?")


class _NotDiscord(Exception):
    """The answer is none of Discord's."""


def _unexpected(error: discord.HTTPException, api_url: str) -> str:
    match error.status:
        case 429:
            return ("Discord has shut this address out for a while, for too many refused calls: stop the bot, and try "
                    "again in an hour")
        case 401:
            return f"Discord no longer takes the token, as of this moment: {_COPY}"
        case status:
            return (f"Discord answered {status} (code {error.code}), which we did not expect: is "
                    f"NINETY_DISCORD_API_URL right? It is {api_url}")


async def _within(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await answer


async def _findings(client: discord.Client, token: str, watch: _Watch, now: datetime, cohorts: Sequence[Cohort],
                    commands: Payload) -> AsyncIterator[Finding]:
    try:
        await _within(client.login(token))
    except (TypeError, KeyError, ValueError):
        # A page of somebody else's with status 200.
        raise _NotDiscord from None
    application, user = client.application, client.user
    if application is None or user is None:
        raise _NotDiscord
    yield Finding("ok", f"the token is that of {application.name}, application {application.id}")
    if watch.apart is not None:
        yield clocks(watch.apart, "Discord's")
    for finding in _settings(application):
        yield finding
    here = [cohort for cohort in cohorts if cohort.room.platform == "discord"]
    running = [cohort for cohort in here if any(post.latest >= now for post in posts(cohort))]
    link = invite(str(application.id), permissions(any(cohort.threads for cohort in running),
                                                   any(cohort.graduate_role for cohort in running)))
    yield Finding("note", f"invite the bot with this link, also again where it lacks a permission: {link}")
    yield _published(await _within(client.http.get_global_commands(application.id)), commands)
    for cohort in here:
        if cohort not in running:
            yield Finding("note", f"{_called(cohort)}: it is over, so its room was not looked at")
    for cohort in running:
        for finding in await _cohort(client, user.id, cohort):
            yield finding
    if not here:
        yield Finding("note", "no cohort lives on Discord yet: type /cohort open in its channel, or use `ninety cohort "
                              "open` with --room discord:SERVER:CHANNEL")


# --- the token --------------------------------------------------------------------------------------------------------


def _mistyped(token: str) -> str:
    """What is wrong with it before anybody is asked; empty when nothing is."""
    if not token.strip():
        return f"NINETY_DISCORD_TOKEN is empty: {_COPY}"
    if token.strip("\"' ").lower().startswith(("bot ", "bearer ")):
        return "the token has a word in front of it, such as Bot: leave only what follows it"
    if not all("!" <= sign <= "~" for sign in token) or token.strip("\"'") != token:
        return ("the token has something in it that no token has, such as a space, the end of a line or a quotation "
                f"mark: {_COPY}")
    return ""


def _unknown(token: str) -> str:
    """Why Discord may have refused it. Only now its form is looked at: Discord has changed the form before."""
    if re.fullmatch(r"\d{15,20}", token):
        kind = "it looks like an id"
    elif re.fullmatch(r"[0-9a-f]{64}", token):
        kind = "it looks like the application's public key"
    elif re.fullmatch(r"[\w-]{32}", token):
        kind = "it looks like the client secret"
    elif token.count(".") != 2:
        kind = "it does not look like one; those have three parts with dots between them"
    else:
        kind = "it was replaced by a newer one, or was not copied whole"
    return f"Discord does not know this token: {kind}. For the bot's token, {_COPY}"


# --- the application --------------------------------------------------------------------------------------------------


def _settings(application: discord.AppInfo) -> list[Finding]:
    found = []
    if application.interactions_endpoint_url:
        found.append(Finding("problem", "Discord sends commands and buttons to a web address and not to this bot: "
                                        "empty Interactions Endpoint URL on the page General Information"))
    if application.bot_require_code_grant:
        found.append(Finding("problem", "nobody can invite the bot by a link: switch Requires OAuth2 Code Grant off on "
                                        "the page Bot"))
    if on := [name for name, flags in _PRIVILEGED.items() if any(getattr(application.flags, flag) for flag in flags)]:
        found.append(Finding("note", f"these privileged intents are on and not needed: {', '.join(on)}; switch them "
                                     "off on the page Bot"))
    found.append(Finding("note", (
        "the bot is public: whoever has its link can add it to a server of theirs; Public Bot on the page Bot switches "
        "that off" if application.bot_public else
        "the bot is not public: only the owner of the application can add it to a server")))
    return found


# --- the clocks -------------------------------------------------------------------------------------------------------


class _Watch:
    """Looks at the Date of the first answer that has one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.apart: timedelta | None = None
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._began)
        self.trace.on_request_end.append(self._ended)

    async def _began(self, _: aiohttp.ClientSession, request: SimpleNamespace, __: object) -> None:
        request.began = self._clock.now()

    async def _ended(self, _: aiohttp.ClientSession, request: SimpleNamespace,
                     answered: aiohttp.TraceRequestEndParams) -> None:
        if self.apart is None:
            try:
                said = parsedate_to_datetime(answered.response.headers["Date"])
                self.apart = apart(request.began, self._clock.now(), said)
            except (KeyError, ValueError, TypeError):
                # None, or not a date with its zone: then there is nothing to say.
                pass


# --- the commands -----------------------------------------------------------------------------------------------------


def _published(registered: Sequence[Mapping[str, Any]], ours: Payload) -> Finding:
    if not registered:
        return Finding("note", "Discord does not have the bot's commands yet: `ninety run` publishes them at its start")
    if not (differing := differences(registered, ours)):
        return Finding("ok", "Discord has the bot's commands as they are now")
    return Finding("note", f"Discord has {_and(f'/{name}' for name in differing)} in another form than this guide and "
                           "this version: `ninety run` publishes them at its start")


# --- the cohorts ------------------------------------------------------------------------------------------------------


async def _cohort(client: discord.Client, bot: int, cohort: Cohort) -> list[Finding]:
    room = cohort.room
    try:
        guild = await _within(client.fetch_guild(int(room.workspace), with_counts=False))
        me = await _within(guild.fetch_member(bot))
    except (discord.NotFound, discord.Forbidden):
        return [Finding("problem", f"{_called(cohort)}: the bot is not in the server {room.workspace}: invite it with "
                                   "the link above")]
    wrong = [*await _wrong_in_channel(guild, me, cohort), *(_wrong_with_role(guild, me, cohort.graduate_role)
                                                            if cohort.graduate_role else ())]
    return [Finding("problem", f"{_called(cohort)}: {one}") for one in wrong] or \
        [Finding("ok", f"{_called(cohort)}: the bot has what it needs in the server {guild.name}")]


async def _wrong_in_channel(guild: discord.Guild, me: discord.Member, cohort: Cohort) -> list[str]:
    id = cohort.room.channel
    wanted = _permissions(cohort.threads, role=False)
    if me.is_timed_out():
        return [f"the bot is timed out in the server {guild.name} and cannot post: click its name there, and choose "
                "Remove Timeout"]
    try:
        channel = await _within(guild.fetch_channel(int(id)))
    except discord.NotFound:
        return [f"the channel {id} is deleted, and nothing can be posted to it: open a cohort in another one"]
    except discord.Forbidden:
        return [f"the bot cannot see the channel {id}: in Edit Channel, Permissions, allow {me.display_name} "
                f"{_and(_missing(wanted, discord.Permissions.none()))}"]
    except discord.InvalidData:
        return [f"the channel {id} is not one of the server {guild.name}, or of a kind that we do not know: open a "
                "cohort in a text channel"]
    if isinstance(channel, discord.Thread | discord.ForumChannel | discord.CategoryChannel):
        # What somebody types in a thread is for the cohort of the channel that it is below.
        return [f"{channel.name} is a {channel.type.name.replace('_', ' ')} and no channel where a cohort can live: "
                "open one in a text channel"]
    wrong = []
    if cohort.threads and not isinstance(channel, discord.TextChannel):
        wanted.update(create_public_threads=False, send_messages_in_threads=False)
        wrong.append(f"#{channel.name} cannot have threads, which the cohort wants: only a text channel can")
    if missing := _missing(wanted, channel.permissions_for(me)):
        wrong.append(f"the bot lacks {_and(missing)} in #{channel.name}: in Edit Channel, Permissions, allow "
                     f"{me.display_name} {'these' if len(missing) > 1 else 'that'}")
    return wrong


def _missing(wanted: discord.Permissions, given: discord.Permissions) -> list[str]:
    return [shown for name, shown in _NAMES.items() if getattr(wanted, name) and not getattr(given, name)]


def _wrong_with_role(guild: discord.Guild, me: discord.Member, id: str) -> list[str]:
    wrong = []
    if not me.guild_permissions.manage_roles:
        wrong.append(f"the bot lacks Manage Roles: in Server Settings, Roles, allow {me.display_name} that")
    role = guild.get_role(int(id)) if id.isdecimal() else None
    if role is None:
        wrong.append(f"the role {id} that graduates get is not in the server {guild.name}: they will get none")
    elif role.is_default() or role.managed:
        wrong.append(f"the role {role.name} that graduates get cannot be given by anybody: they will get none")
    elif me.top_role <= role:
        wrong.append(f"the bot's role is not above {role.name}, which graduates get: in Server Settings, Roles, drag "
                     f"{me.display_name} above it")
    return wrong


def _called(cohort: Cohort) -> str:
    return f"cohort {cohort.id}, {cohort.title}"


def _and(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
