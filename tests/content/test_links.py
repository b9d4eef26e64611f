"""`ninety check --links`, against servers of this machine only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from bot.cli import _check_links, app
from content.links import AT_ONCE, Link, Offline, answers, links
from tests.content.build import SMALL

BUSY = web.AppKey("busy", dict[str, int])
"""How many are being answered, now and at most."""


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    """Answers at /here, at /get only in full, keeps robots out of /closed, is at fault at /broken."""
    busy = {"now": 0, "most": 0}

    async def slow(_: web.Request) -> web.Response:
        busy["now"] += 1
        busy["most"] = max(busy.values())
        await asyncio.sleep(0.02)
        busy["now"] -= 1
        return web.Response()

    async def says(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]))

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/here")

    async def in_full(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.method == "GET" else 404)

    application = web.Application()
    application[BUSY] = busy
    application.router.add_get("/here", slow)
    application.router.add_get("/slow/{number}", slow)
    application.router.add_get("/moved", moved)
    application.router.add_route("*", "/get", in_full)
    application.router.add_route("*", "/says/{status}", says)
    server = TestServer(application, host="127.0.0.1")
    async with server:
        yield server


async def told(server: TestServer, *places: str) -> dict[str, str | None]:
    asked = [Link(number, str(server.make_url(place))) for number, place in enumerate(places)]
    return {places[answer.link.line]: answer.wrong async for answer in answers(asked)}


def test_addresses_are_found_once_without_the_marks_around_them() -> None:
    text = """\
url: https://one.test/a_(b)
see [two](https://two.test/x), and <https://three.test>.
again https://one.test/a_(b)#part; `https://four.test/y`
"base": "http://localhost:8000/", https://api.example.com/v1
"""
    assert list(links(text)) == [Link(1, "https://one.test/a_(b)"), Link(2, "https://two.test/x"),
                                 Link(2, "https://three.test"), Link(3, "https://four.test/y")]


async def test_what_answers_is_there(site: TestServer) -> None:
    """After a redirect too, and when only a whole page is handed out, and when robots are kept out."""
    assert await told(site, "/here", "/moved", "/get", "/says/403", "/says/429") == dict.fromkeys(
        ("/here", "/moved", "/get", "/says/403", "/says/429"))


async def test_what_is_gone_is_told(site: TestServer) -> None:
    assert await told(site, "/here", "/nowhere", "/says/410", "/says/500") == {
        "/here": None, "/nowhere": "answers 404", "/says/410": "answers 410", "/says/500": "answers 500"}


async def test_only_a_few_are_asked_at_once(site: TestServer) -> None:
    await told(site, *(f"/slow/{number}" for number in range(40)))
    assert 1 < site.app[BUSY]["most"] <= AT_ONCE


def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


async def test_a_machine_without_a_network_is_no_fault_of_the_guide() -> None:
    with pytest.raises(Offline):
        async for answer in answers([Link(1, nobody())]):
            assert answer.wrong and "cannot be reached" in answer.wrong


async def test_a_server_that_is_gone_is(site: TestServer) -> None:
    asked = [Link(1, str(site.make_url("/here"))), Link(2, nobody())]
    assert {answer.link.line async for answer in answers(asked) if answer.wrong} == {2}


async def test_the_command_names_the_line(site: TestServer, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a: {site.make_url('/here')}\nb: {site.make_url('/nowhere')}\n"
    assert await _check_links("guide.yaml", text) == 1
    assert capsys.readouterr().out == (f"guide.yaml:2: {site.make_url('/nowhere')} answers 404\n"
                                       "1 of 2 addresses answer.\n")


def test_offline_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "guide.yaml"
    path.write_text(SMALL + f"# {nobody()}\n")
    if list(links(SMALL)):
        pytest.skip("the small guide leads to the outside")
    result = CliRunner().invoke(app, ["check", str(path), "--links"])
    assert (result.exit_code, "is there a network?" in result.output) == (0, True), result.output
