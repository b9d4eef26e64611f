"""The addresses that the guide leads to elsewhere, and whether somebody still answers there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

import aiohttp

ADDRESS = re.compile(r"https?://[^\s<>\"'`\\]+")
NOBODY = re.compile(r"https?://(localhost|([\w.-]+\.)?example(\.\w+)?)([:/?#]|$)")
"""Addresses in examples."""
AT_ONCE = 8
SECONDS = 20
# Some sites turn away whoever does not say who asks.
WHO = {"User-Agent": "ninety check --links"}
THERE_BUT_NOT_FOR_US = {401, 403, 405, 429, 451, 503, 999}
"""Somebody answers, and keeps robots out; the last is LinkedIn's own."""


@dataclass(frozen=True)
class Link:
    line: int
    address: str


@dataclass(frozen=True)
class Answer:
    link: Link
    wrong: str | None
    """What is wrong, for an author to read; None when it leads somewhere, or a robot cannot tell."""


class Offline(Exception):
    """None of the addresses could be reached at all, so this machine has no network, or keeps us out of it."""


def links(text: str) -> Iterator[Link]:
    """Each address once, at its first line; the marks that end a sentence or a Markdown link are not part of it."""
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        for match in ADDRESS.finditer(line):
            address = match[0].rstrip(".,;:!?*_")
            while address.endswith((")", "]", "}")) and address.count(address[-1]) > address.count(
                    {")": "(", "]": "[", "}": "{"}[address[-1]]):
                address = address[:-1].rstrip(".,;:!?*_")
            if address.partition("#")[0] not in seen and not NOBODY.match(address):
                seen.add(address.partition("#")[0])
                yield Link(number, address)


async def answers(found: Iterable[Link]) -> AsyncIterator[Answer]:
    """As they come in. Raises Offline at the end when there was something to ask and nobody could be reached."""
    gate = asyncio.Semaphore(AT_ONCE)
    reached = False
    async with aiohttp.ClientSession(headers=WHO, timeout=aiohttp.ClientTimeout(total=SECONDS), trust_env=True) as web:

        async def ask(link: Link) -> tuple[Answer, bool]:
            async with gate:
                return await _ask(web, link)

        asked = [asyncio.create_task(ask(link)) for link in found]
        for coming in asyncio.as_completed(asked):
            answer, there = await coming
            reached |= there
            yield answer
    if asked and not reached:
        raise Offline


async def _ask(web: aiohttp.ClientSession, link: Link) -> tuple[Answer, bool]:
    """(answer, whether any server was reached). Many servers refuse HEAD, so a refusal is asked again in full."""
    wrong, reached = None, False
    for method in ("HEAD", "GET"):
        try:
            async with web.request(method, link.address, allow_redirects=True) as answer:
                status = answer.status
        except TimeoutError:
            wrong = f"no answer within {SECONDS} s"
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError) as error:
            return Answer(link, f"cannot be reached: {error}"), False
        except (aiohttp.ClientError, ValueError) as error:
            wrong, reached = f"cannot be read: {error}", True
        else:
            reached = True
            if status < 400 or (method == "GET" and status in THERE_BUT_NOT_FOR_US):
                return Answer(link, None), True
            wrong = f"answers {status}"
    return Answer(link, wrong), reached
