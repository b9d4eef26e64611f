"""The room over HTTP: who gets in, what is done once, what is told when it cannot be done."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from bot.desk import Caller
from bot.ledger import RequestId
from bot.local import site
from bot.messages import Answers, DeliveryKey, Form, Message, markdown
from bot.store import tables
from tests.bot.local.build import ADA, GUIDE, MEI, OLU, ROOM, SAM, House, house


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def problem(response: ClientResponse) -> str:
    return str((await response.json())["problem"])


# --- who gets in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:{port}", "localhost:1", "localhost", "", "127.0.0.1.nip.io",
    "localhost@evil.example:{port}", "[::1", "0.0.0.0:{port}", "localhost:{port}0",
])
async def test_a_name_on_the_internet_that_points_here_reads_nothing(room: House, host: str) -> None:
    """DNS rebinding: the browser believes that the page is the attacker's own."""
    for path in ("/", "/chat/", "/chat/api/room", "/chat/api/events"):
        response = await room.client.get(path, headers={"Host": host.format(port=room.client.port)})
        assert response.status == 421
        assert f"http://localhost:{room.client.port}/chat/" in await response.text()


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "LOCALHOST:{port}"])
async def test_the_names_of_this_machine_are_let_in(room: House, host: str) -> None:
    assert (await room.client.get("/chat/", headers={"Host": host.format(port=room.client.port)})).status == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
])
async def test_another_site_cannot_press_a_button(room: House, headers: dict[str, str]) -> None:
    for path in ("command", "submit", "say", "time"):
        response = await room.send(path, headers, **{"as": "mei", "request": "12345678", "text": "hello"})
        assert response.status == 403
        assert "nothing was done" in await problem(response)
    assert await room.history.latest("mei", "ninety") == []
    assert room.bar.moves == []


async def test_a_request_that_does_not_say_where_it_comes_from_is_refused(room: House) -> None:
    response = await room.client.post("/chat/api/say", json={"as": "mei", "request": "12345678", "text": "hello"})
    assert response.status == 403


async def test_a_form_of_another_site_is_no_json(room: House) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = await room.client.post("/chat/api/say", data=b'{"as": "mei"}',
                                          headers={"Origin": room.origin, "Content-Type": kind})
        assert response.status == 415


@pytest.mark.parametrize("path", ["/", "/chat/", "/chat/api/room", "/chat/page/chat.js", "/nothing",
                                  "/chat/api/nothing"])
async def test_every_answer_forbids_framing_and_guessing(room: House, path: str) -> None:
    headers = (await room.client.get(path)).headers
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert "frame-ancestors 'none'" in headers.get("Content-Security-Policy", "frame-ancestors 'none'")


async def test_the_room_runs_no_script_but_its_own(room: House) -> None:
    response = await room.client.get("/chat/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    page = await response.text()
    assert page.count("<script") == page.count("<script src=") + page.count('<script type="module" src=')
    assert " style=" not in page
    assert "http" not in page.replace("https://www.w3.org", "").replace("http://www.w3.org", "")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"as": 3}', b'{"as":"mei"}', b"\xff\xfe", b'"' * 100,
                                  b'{"as":"mei","request":"short","text":"x"}', b"[" * 100_000])
async def test_what_the_page_never_sends_is_refused_in_words(room: House, body: bytes) -> None:
    response = await room.client.post("/chat/api/say", data=body, headers={"Origin": room.origin,
                                                                         "Content-Type": "application/json"})
    assert response.status == 400
    assert "Load the page again" in await problem(response)


# --- what is done, once -----------------------------------------------------------------------------------------------


async def test_a_command_is_answered_in_private_and_kept(room: House) -> None:
    answer = await room.command(MEI, "/week")
    assert answer["post"]["private"] is True
    assert '<p class="asked"><code>/week</code></p>' in answer["post"]["html"]
    seen = [await (await room.client.get(f"/chat/api/room?as={who}")).json() for who in ("mei", "sam")]
    assert [len(one["posts"]["room"]) for one in seen] == [1, 0]


async def test_a_refusal_of_a_rule_is_an_answer(room: House) -> None:
    assert 'class="refused"' in (await room.command(MEI, "/checkin"))["post"]["html"]


async def test_the_form_comes_as_a_form(room: House) -> None:
    form = (await room.command(MEI, "/cohort join"))["form"]
    assert (form["kind"], form["about"]) == ("join", "")
    assert form["html"].startswith('<form novalidate autocomplete="off" data-kind="join" data-about="">')
    assert await room.history.latest("mei", "ninety") == []


async def test_the_same_request_twice_is_one_effect(room: House) -> None:
    await room.join(MEI)
    sent = {"tasks": ["read"], "hours": ["2"], "notes": ["Went well"]}
    before = room.events()
    answers = await asyncio.gather(*(room.submit(MEI, "check-in", sent, "week-1", request="double-click")
                                     for _ in range(5)))
    assert [answer["post"]["id"] for answer in answers] == [answers[0]["post"]["id"]] * 5
    assert room.events() == before + 1


async def test_other_answers_under_the_same_request_are_an_amendment(room: House) -> None:
    """The first answer was lost on its way, and the member went on writing before sending again."""
    await room.join(MEI)
    before = room.events()
    first = await room.submit(MEI, "check-in", {"notes": ["One"]}, "week-1", request="lost-answer")
    second = await room.submit(MEI, "check-in", {"notes": ["One and two"]}, "week-1", request="lost-answer")
    assert second["post"]["id"] != first["post"]["id"]
    assert "Amended" in second["post"]["html"]
    assert room.events() == before + 2


async def test_two_tabs_change_one_check_in(room: House) -> None:
    await room.join(MEI)
    for _ in range(2):
        await room.submit(MEI, "check-in", {"tasks": ["read"]}, "week-1")
    assert "Points so far" not in (await room.command(MEI, "/progress"))["post"]["html"]
    points = room.database.run_here(lambda connection: connection.execute(tables.member.select()).one().points)
    assert points == 15  # 10 for checking in, 5 for one must task, once


async def test_a_command_sent_twice_has_one_answer(room: House) -> None:
    one, two = await asyncio.gather(*(room.command(MEI, "/week", request="pressed-twice") for _ in range(2)))
    assert one == two


async def test_a_message_sent_twice_is_said_once(room: House) -> None:
    for _ in range(2):
        await room.say(MEI, "Hello <b>all</b> @everyone", "said-once")
    posts = await room.history.latest("sam", "ninety")
    assert [post.html for post in posts] == ["<p><bdi>Hello &lt;b&gt;all&lt;/b&gt; @everyone</bdi></p>"]


async def test_a_field_that_is_wrong_is_named_and_nothing_is_kept(room: House) -> None:
    await room.join(MEI)
    before = room.events()
    answer = await room.submit(MEI, "check-in", {"hours": ["lots"]}, "week-1")
    assert answer["refused"]["field"] == "hours"
    assert "<bdi>lots</bdi>" in answer["refused"]["html"]
    assert room.events() == before


async def test_a_hundred_kilobytes_in_a_field_are_refused_in_words(room: House) -> None:
    await room.join(MEI)
    answer = await room.submit(MEI, "check-in", {"notes": ["é" * 100_000]}, "week-1")
    assert answer["refused"]["field"] == "notes"
    assert "100000" in answer["refused"]["html"]


async def test_more_than_a_megabyte_is_refused_in_words(room: House) -> None:
    sent = {"as": "mei", "place": "room", "request": "12345678", "kind": "check-in", "about": "week-1",
            "answers": {"notes": ["x" * 1_200_000]}}
    response = await room.client.post("/chat/api/submit", data=io.BytesIO(json.dumps(sent).encode()),
                                      headers={"Origin": room.origin, "Content-Type": "application/json"})
    assert response.status == 413
    assert "your text is still here" in await problem(response)


async def test_a_long_message_is_refused_whole(room: House) -> None:
    response = await room.say(MEI, "x" * 4001)
    assert response.status == 400
    assert "4,001 characters" in await problem(response)


async def test_half_a_character_does_no_harm(room: House) -> None:
    response = await room.client.post(
        "/chat/api/say", data=b'{"as": "mei", "request": "12345678", "text": "a\\ud800b"}',
        headers={"Origin": room.origin, "Content-Type": "application/json"})
    assert response.status in (200, 400)


async def test_in_direct_messages_the_cohort_is_found_by_the_person(room: House) -> None:
    await room.join(MEI)
    answer = await room.command(MEI, "progress", place="direct")
    assert (answer["post"]["place"], answer["post"]["private"]) == ("direct", False)
    assert await room.history.latest("sam", "@mei") == []


async def test_whoever_acts_by_themselves_can_be_looked_at_and_not_acted_as(room: House) -> None:
    assert (await (await room.client.get("/chat/api/room?as=ada")).json())["you"] == "ada"
    response = await room.say(ADA, "hello")
    assert response.status == 403
    assert "Ada acts by themselves" in await problem(response)


async def test_only_an_organiser_is_offered_what_only_organisers_may(room: House) -> None:
    offered = {who.user: {command["name"] for command in (await (await room.client.get(
        f"/chat/api/room?as={who.user}")).json())["commands"]} for who in (MEI, OLU)}
    assert offered["olu"] - offered["mei"] == {"cohort open", "cohort bridge", "cohort log"}
    assert 'class="refused"' in (await room.command(MEI, "/cohort log"))["post"]["html"]
    assert 'class="refused"' not in (await room.command(OLU, "/cohort log"))["post"]["html"]


async def test_somebody_who_moved_is_shown_their_new_time(room: House) -> None:
    await room.join(MEI)
    await room.submit(MEI, "settings", {"name": ["Mei"], "zone": ["tokyo"], "shown": ["alias"], "nudges": ["no"]})
    assert (await (await room.client.get("/chat/api/room?as=mei")).json())["zone"] == "Asia/Tokyo"


async def test_nobody_of_that_name_is_said_in_words(room: House) -> None:
    response = await room.client.get("/chat/api/room?as=<b>")
    assert response.status == 404
    assert "Choose somebody" in await problem(response)


# --- when something breaks --------------------------------------------------------------------------------------------


class Broken:
    """A desk that has a bug."""

    async def command(self, caller: Caller, line: str, request: RequestId, now: datetime) -> Message | Form:
        raise KeyError(line)

    async def submit(self, caller: Caller, kind: str, about: str, answers: Answers, request: RequestId,
                     now: datetime) -> Message:
        raise ValueError(answers["notes"])


async def test_a_bug_keeps_the_text_and_stays_out_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, door=Broken()) as room:
        with caplog.at_level(logging.DEBUG):
            answer = await room.submit(MEI, "check-in", {"notes": ["my secret"]})
    assert "still here" in answer["problem"]
    assert "ValueError" in caplog.text
    assert "my secret" not in caplog.text


async def test_a_store_that_is_down_is_told_and_the_same_request_goes_through_later(room: House) -> None:
    await room.join(MEI)
    room.database.run_here(lambda connection: tables.local_post.drop(connection))
    answer = await room.submit(MEI, "check-in", {"notes": ["One"]}, "week-1", request="store-down")
    assert "send it again" in answer["problem"]
    events = room.events()
    room.database.run_here(lambda connection: tables.local_post.create(connection))
    assert "post" in await room.submit(MEI, "check-in", {"notes": ["One"]}, "week-1", request="store-down")
    assert room.events() == events + 1


async def test_an_answer_that_could_not_be_kept_is_not_told_as_nothing_saved(room: House) -> None:
    """The check-in is in the journal by then; whoever sends it again reads the answer, and has one check-in."""
    await room.join(MEI)
    events = room.events()
    broken = "CREATE TRIGGER broken BEFORE INSERT ON local_post BEGIN INSERT INTO nowhere VALUES (1); END"
    room.database.run_here(lambda connection: connection.exec_driver_sql(broken))
    answer = await room.submit(MEI, "check-in", {"notes": ["One"]}, "week-1", request="not-kept-1")
    assert answer["problem"].startswith("It is done.") and room.events() == events + 1
    room.database.run_here(lambda connection: connection.exec_driver_sql("DROP TRIGGER broken"))
    assert "post" in await room.submit(MEI, "check-in", {"notes": ["One"]}, "week-1", request="not-kept-1")
    assert room.events() == events + 1


async def test_the_page_knows_what_to_say_while_somebody_waits(room: House) -> None:
    told = await (await room.client.get("/chat/api/room?as=mei")).json()
    assert told["waiting"] == GUIDE.voice.words.waiting


# --- live -------------------------------------------------------------------------------------------------------------


class Stream:
    """What a browser reads of the stream: (event, id, data)."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    async def next(self, wanted: str = "post") -> Any:
        event: dict[str, str] = {}
        async with asyncio.timeout(5):
            async for raw in self._response.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event.get("event") == wanted:
                    return event.get("id"), json.loads(event["data"])
                else:
                    event = {}
        raise AssertionError("the stream ended")


async def stream(room: House, user: str, after: str = "0", **headers: str) -> Stream:
    return Stream(await room.client.get(f"/chat/api/events?as={user}&after={after}",
                                        headers={name.replace("_", "-"): value for name, value in headers.items()}))


async def test_what_is_said_arrives(room: House) -> None:
    live = await stream(room, "sam")
    await room.say(MEI, "Hello")
    identity, post = await live.next()
    assert (identity, post["author"], post["html"]) == ("1", "mei", "<p><bdi>Hello</bdi></p>")


async def test_a_stream_resumes_after_the_last_post_that_arrived(room: House) -> None:
    for number in range(4):
        await room.say(MEI, str(number))
    live = await stream(room, "sam", after="0", Last_Event_ID="2")
    assert [(await live.next())[0] for _ in range(2)] == ["3", "4"]


async def test_an_answer_for_one_is_in_no_other_stream(room: House) -> None:
    live = await stream(room, "sam")
    await room.command(MEI, "/week")
    await room.platform.post(MEI.account, Message(markdown("Nudge")), DeliveryKey("n"))
    await room.platform.post(ROOM, Message(markdown("Week 1")), DeliveryKey("w"))
    assert (await live.next())[1]["html"] == "<h3>Week 1</h3>"


async def test_a_page_can_tell_that_the_server_was_started_anew(room: House, tmp_path: Path) -> None:
    """A demo begins with an empty history: what the page holds under the same ids is something else."""
    known = (await (await room.client.get("/chat/api/room")).json())["run"]
    assert (await (await stream(room, "sam")).next("time"))[1]["run"] == known
    (tmp_path / "anew").mkdir()
    async with house(tmp_path / "anew") as another:
        assert (await (await another.client.get("/chat/api/room")).json())["run"] != known


async def test_the_server_stops_while_streams_are_open(tmp_path: Path) -> None:
    async with house(tmp_path) as room:
        await stream(room, "sam")
        await stream(room, SAM.user)
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 5


# --- time -------------------------------------------------------------------------------------------------------------


async def test_time_moves_and_everybody_hears_of_it(room: House) -> None:
    live = await stream(room, "sam")
    assert (await live.next("time"))[1]["time"]["now"] == "2027-01-04T08:00:00Z"
    answer = await (await room.send("time", go="week")).json()
    assert answer["time"] == {"now": "2027-01-11T08:00:00Z", "zone": "Europe/Berlin", "next": "Week 2 opens",
                              "nextAt": None, "ended": False, "moving": False}
    while (await live.next("time"))[1]["time"] != answer["time"]:
        pass


async def test_time_moves_once_at_a_time(room: House) -> None:
    room.bar.free.clear()
    first = asyncio.create_task(room.send("time", go="post"))
    async with asyncio.timeout(5):
        await room.bar.moving.wait()
    assert (await (await room.client.get("/chat/api/room")).json())["time"]["moving"] is True
    assert (await room.send("time", go="day")).status == 409
    room.bar.free.set()
    assert (await first).status == 200
    assert room.bar.moves == ["post"]


async def test_without_a_time_bar_time_is_real(tmp_path: Path) -> None:
    async with house(tmp_path, time_bar=False) as room:
        assert (await (await room.client.get("/chat/api/room")).json())["time"] is None
        assert (await room.send("time", go="day")).status == 404


# --- the guide --------------------------------------------------------------------------------------------------------


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    built = tmp_path / "site"
    for path, text in {
        "index.html": "<!doctype html><script>go()</script><script src=a.js></script>home", "404.html": "not there",
        "plans/index.html": "plans", "plans/week 1/index.html": "week", "assets/a.js": "go", "assets/plan.ics": "BEGIN",
        "assets/f.woff2": "font",
    }.items():
        (built / path).parent.mkdir(parents=True, exist_ok=True)
        (built / path).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    (built / "leak.txt").symlink_to(tmp_path / "secret.txt")
    return built


async def test_the_guide_is_served_with_its_directories_and_its_own_404(tmp_path: Path, guide: Path) -> None:
    async with house(tmp_path, guide=guide) as room:
        for path, status, kind, text in (
            ("/", 200, "text/html; charset=utf-8", "home"), ("/plans/", 200, "text/html; charset=utf-8", "plans"),
            ("/plans/index.html", 200, "text/html; charset=utf-8", "plans"),
            ("/plans/week%201/", 200, "text/html; charset=utf-8", "week"),
            ("/assets/a.js", 200, "text/javascript; charset=utf-8", "go"),
            ("/assets/plan.ics", 200, "text/calendar; charset=utf-8", "BEGIN"),
            ("/assets/f.woff2", 200, "font/woff2", "font"),
            ("/nothing/here", 404, "text/html; charset=utf-8", "not there"),
            ("/assets/", 404, "text/html; charset=utf-8", "not there"),
        ):
            response = await room.client.get(path)
            assert (response.status, response.headers["Content-Type"]) == (status, kind), path
            assert text in await response.text(), path
        response = await room.client.get("/plans", allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (301, "/plans/")


async def test_the_guides_own_small_scripts_run_and_no_others(tmp_path: Path, guide: Path) -> None:
    async with house(tmp_path, guide=guide) as room:
        policy = (await room.client.get("/")).headers["Content-Security-Policy"]
        assert "script-src 'self' 'sha256-" in policy
        assert site.digests(b"<script>go()</script>")[0] in policy
        assert "{scripts}" not in (await room.client.get("/assets/a.js")).headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", [
    "../secret.txt", "/../secret.txt", "plans/../../secret.txt", "leak.txt", "//etc/passwd", "/etc/passwd", "a\x00b",
    "x" * 5000, "..", "../site2/x", "plans/\ud800",
])
def test_no_path_leads_out_of_the_guide(guide: Path, path: str) -> None:
    assert site.found(guide, path) is None


@pytest.mark.parametrize("path", [
    "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "//secret.txt", "/leak.txt",
    "/plans/%2e%2e/%2e%2e/secret.txt", "/%00", "/..%5csecret.txt", "/chat/page/../server.py",
    "/chat/page/%2e%2e/server.py", "/chat/page/..%2fserver.py",
])
async def test_no_address_leads_out_of_it_either(tmp_path: Path, guide: Path, path: str) -> None:
    async with house(tmp_path, guide=guide) as room:
        reader, writer = await asyncio.open_connection("127.0.0.1", room.client.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{room.client.port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.split()[1] in (b"404", b"400", b"301")
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]
    assert b"import asyncio" not in answer


async def test_without_a_guide_the_page_says_how_to_build_one(room: House) -> None:
    response = await room.client.get("/")
    assert (response.status, response.content_type) == (200, "text/html")
    assert "mkdocs build" in await response.text()
    assert (await room.client.get("/plans/")).status == 404
