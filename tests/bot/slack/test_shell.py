"""Commands, clicks, submissions and the home, each through a socket and by signed requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from slack_sdk.oauth.installation_store import Installation

from bot.ledger import Account
from bot.messages import Button, DeliveryKey, Link, Message, markdown
from bot.slack import render, shell
from bot.store.database import Database
from tests.bot.build import OPENED, WEEK_1
from tests.bot.slack.stage import (
    KINDS,
    NOT_SAVED,
    TOO_SLOW,
    TYPED,
    VOICE,
    Admin,
    Broken,
    Kind,
    Stage,
    staged,
    titles,
    until,
)
from tests.emulators.slack import Drop, Fail
from tests.emulators.slack_world import Posted, Shown

WORDS = VOICE.words


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest_asyncio.fixture
async def stage(kind: Kind, database: Database) -> AsyncIterator[Stage]:
    async with staged(kind, database, WEEK_1) as one:
        yield one


async def _late(stage: Stage) -> None:
    """From now on Slack gets a sign at once, and the desk's door is shut."""
    await stage.start(patience=0.02)
    stage.desk.opened.clear()


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_in_one_trip_and_to_that_person_alone(stage: Stage) -> None:
    shown = await stage.type("/week")
    assert shown.kind == "ephemeral" and "Find things" in shown.words
    assert (stage.said("response_url"), stage.slack.history("T1", "C1")) == (0, [])


async def test_what_stands_behind_a_command_reaches_the_desk_as_it_was_typed(stage: Stage) -> None:
    """Slack escapes three characters there."""
    shown = await stage.type("/cohort &lt;b&gt; &amp;amp;")
    assert shown.text.startswith("⚠️ ") and "&lt;b&gt;" in shown.text and "&amp;lt;" not in shown.text


async def test_an_unknown_command_is_answered_with_the_nearest_one(stage: Stage) -> None:
    assert "/cohort settings" in (await stage.type("/cohort setings")).words


async def test_a_command_in_direct_messages_is_about_the_cohort_that_one_is_in(stage: Stage) -> None:
    await stage.join()
    await stage.slack.open_home("T1", "UADA")
    direct = next(channel.id for channel in stage.slack.teams["T1"].channels.values() if channel.im == "UADA")
    assert "Find things" in (await stage.type("/week", channel=direct)).words


async def test_joining_proposes_what_slack_knows_of_the_person(stage: Stage) -> None:
    stage.slack.teams["T1"].users["UADA"].tz = "Africa/Cairo"
    form = await stage.type("/cohort join")
    assert form.kind == "modal"
    assert titles(form.view) == (VOICE.join_form.title, ["field:name", "field:shown", "field:zone", "field:nudges"])
    proposed = {block["block_id"]: block["element"].get("initial_value") for block in form.view.blocks  # type: ignore[union-attr]
                if block["type"] == "input" and block["element"]["type"] == "plain_text_input"}
    assert proposed == {"field:name": "ada", "field:zone": "Africa/Cairo"}


async def test_who_joins_reads_it_in_the_place_of_the_form(stage: Stage) -> None:
    answer = await stage.join(name="Ada <!channel>")
    assert answer.kind == "modal" and titles(answer.view) == (VOICE.join_form.title, [])
    assert "&lt;!channel&gt;" in str(answer.view.body) and stage.journal() == ["Joined"]  # type: ignore[union-attr]


async def test_slack_is_asked_once_a_day_who_somebody_is(stage: Stage) -> None:
    for _ in range(3):
        await stage.type("/week")
    assert stage.said("users.info") == 1
    stage.clock.reach(WEEK_1 + timedelta(hours=24, seconds=1))
    await stage.type("/week")
    assert stage.said("users.info") == 2


async def test_no_more_people_are_remembered_than_there_is_room_for(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PEOPLE", 1)
    for user in ("UADA", "UBOB", "UBOB", "UADA"):
        await stage.type("/week", user)
    assert stage.said("users.info") == 3


async def test_when_slack_does_not_say_who_somebody_is_it_costs_a_guess_only(stage: Stage) -> None:
    stage.slack.fault("users.info", Fail(500))
    form = await stage.type("/cohort join")
    values = {block["block_id"]: block["element"].get("initial_value") for block in form.view.blocks  # type: ignore[union-attr]
              if block["type"] == "input" and block["element"]["type"] == "plain_text_input"}
    assert values == {"field:name": None, "field:zone": "Europe/Berlin"}


async def test_a_form_opens_once_though_the_line_breaks_after_slack_opened_it(stage: Stage) -> None:
    stage.slack.fault("views.open", Drop(accepted=True))
    assert (await stage.type("/cohort join")).kind == "modal"
    assert [call.error for call in stage.slack.calls if call.method == "views.open"] == [None, "exchanged_trigger_id"]
    assert len(stage.slack.screen("T1", "UADA")) == 1


async def test_a_form_that_the_line_broke_before_is_opened_anew(stage: Stage) -> None:
    stage.slack.fault("views.open", Drop(accepted=False))
    assert (await stage.type("/cohort join")).kind == "modal"


async def test_a_command_that_is_sent_twice_opens_one_form_and_says_nothing_else(stage: Stage) -> None:
    stage.slack.duplicate()
    await stage.type("/cohort join")
    await stage.settle()
    assert [shown.kind for shown in stage.slack.screen("T1", "UADA")] == ["modal"]


# --- a slow desk ------------------------------------------------------------------------------------------------------


async def test_a_slow_answer_comes_later_to_that_person_alone(stage: Stage) -> None:
    await _late(stage)
    typing = asyncio.create_task(stage.type("/week", within=5))
    await stage.desk.waiting.wait()
    await stage.acknowledged("/week")
    shown = await typing
    assert (shown.kind, shown.words) == ("ephemeral", WORDS.waiting)
    stage.desk.opened.set()
    await stage.settle()
    shown = stage.slack.screen("T1", "UADA")[-1]
    assert shown.kind == "ephemeral" and "Find things" in shown.words and stage.said("response_url") == 1


async def test_who_waited_too_long_for_a_form_is_told_to_try_again(stage: Stage) -> None:
    """Slack forgets a trigger after three seconds."""
    await _late(stage)
    assert (await stage.type("/cohort join")).words == WORDS.waiting
    stage.ticks.at += 4
    stage.desk.opened.set()
    await stage.settle()
    assert [shown.kind for shown in stage.slack.screen("T1", "UADA")] == ["ephemeral", "ephemeral"]
    assert TOO_SLOW in stage.slack.screen("T1", "UADA")[-1].words


async def test_a_form_that_could_open_just_in_time_does_not_surprise_who_was_told_to_wait(stage: Stage) -> None:
    await _late(stage)
    await stage.type("/cohort join")
    stage.desk.opened.set()
    await stage.settle()
    assert stage.said("views.open") == 0 and TOO_SLOW in stage.slack.screen("T1", "UADA")[-1].words


async def test_an_answer_is_handed_to_slack_again_when_it_did_not_take_it(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "AGAIN", (0.01, 0.01))
    await _late(stage)
    stage.slack.fault("response_url", Fail(503), Drop(accepted=False))
    await stage.type("/week")
    stage.desk.opened.set()
    await stage.settle()
    assert "Find things" in stage.slack.screen("T1", "UADA")[-1].words


async def _submitted_late(stage: Stage, **values: object) -> Shown:
    """A submission at the shut door: what is seen at once. The form was opened before it was shut."""
    form = await stage.type("/cohort join")
    await stage.settle()
    await _late(stage)
    shown = await stage.slack.submit("T1", "UADA", form.view, {  # type: ignore[arg-type]
        f"field:{name}": value for name, value in {**TYPED, **values}.items()})  # type: ignore[misc]
    return shown


async def test_a_slow_submission_is_seen_to_be_saved_and_then_saved(stage: Stage) -> None:
    saving = await _submitted_late(stage)
    assert titles(saving.view) == (VOICE.join_form.title, []) and saving.words == WORDS.waiting
    stage.desk.opened.set()
    await stage.settle()
    assert saving.view is not None and "Ada" in saving.view.words and stage.journal() == ["Joined"]


async def test_a_slow_submission_that_is_refused_shows_the_form_again_with_all_that_was_typed(stage: Stage) -> None:
    saving = await _submitted_late(stage, zone="Nowhere/Atall", shown="alias", nudges="no")
    stage.desk.opened.set()
    await stage.settle()
    view = saving.view
    assert view is not None and "Nowhere/Atall" in view.words.split("\n")[0]
    state = render.answers(view.payload())
    assert state == {"name": ("Ada",), "shown": ("alias",), "zone": ("Nowhere/Atall",), "nudges": ("no",)}
    answer = await stage.submit(Shown("modal", view=view), zone="Europe/Berlin")
    assert answer.kind == "modal" and stage.journal() == ["Joined"]


@pytest.mark.parametrize("zone, journal, told", [
    ("Europe/Berlin", ["Joined"], "Ada"), ("Nowhere/Atall", [], WORDS.typed)])
async def test_who_has_closed_the_form_meanwhile_is_told_by_direct_message(
        stage: Stage, monkeypatch: pytest.MonkeyPatch, zone: str, journal: list[str], told: str) -> None:
    monkeypatch.setattr(shell, "ACKNOWLEDGED", (0.01,))
    saving = await _submitted_late(stage, zone=zone)
    assert saving.view is not None
    await stage.slack.close("T1", "UADA", saving.view)
    stage.desk.opened.set()
    await stage.settle()
    [message] = stage.slack.history("T1", "UADA")
    assert told in message.words and stage.journal() == journal


async def test_a_result_that_overtakes_the_acknowledgement_finds_the_modal_all_the_same(stage: Stage) -> None:
    """Slack draws the modal that says "saving" when it has our acknowledgement, and not before."""
    form = await stage.type("/cohort join")
    assert form.view is not None
    view, place = form.view.payload(), shell._Place("T1", "UADA", "C1", "12.34")
    saving = stage.shell._saving(place, shell._title(view))

    async def decided() -> render.Payload:
        return render.result(Message(body=(markdown("done"),)), "Title")

    shown = asyncio.create_task(stage.shell._replaced(place, await decided(), external_id=saving["external_id"]))
    await stage.slack.until(lambda: any(call.error == "not_found" for call in stage.slack.calls))
    stage.slack.redraw(form.view, saving)
    assert await shown and form.view.words == "done"


# --- submissions ------------------------------------------------------------------------------------------------------


async def test_a_check_in_is_answered_in_the_place_of_the_form_and_drawn_in_the_home(stage: Stage) -> None:
    await stage.join()
    form = await stage.type("/checkin")
    answer = await stage.submit(form, tasks=["read"], hours="6", notes="It went well")
    assert answer.kind == "modal" and stage.journal() == ["Joined", "CheckedIn"]
    assert "✅" in stage.slack.teams["T1"].homes["UADA"].words


async def test_a_refusal_stands_at_its_field_and_what_was_typed_stays(stage: Stage) -> None:
    form = await stage.type("/cohort join")
    refused = await stage.submit(form, **{**TYPED, "zone": "Nowhere/Atall"})
    assert refused.kind == "errors" and list(refused.errors) == ["field:zone"]
    assert form.view is not None and form.view.open
    answer = await stage.submit(form, zone="Berlin")
    assert answer.kind == "modal" and stage.journal() == ["Joined"]


async def test_a_refusal_about_no_field_stands_at_the_first(stage: Stage) -> None:
    form, late = await stage.type("/cohort join"), await stage.type("/cohort join")
    await stage.submit(form, **TYPED)
    refused = await stage.submit(late, **TYPED)
    assert dict(refused.errors) == {"field:name": VOICE.refusals.already_enrolled}


async def test_a_submission_that_is_sent_twice_has_one_effect(stage: Stage) -> None:
    await stage.join()
    form = await stage.type("/checkin")
    stage.slack.duplicate()
    await stage.submit(form, tasks=["read"], hours="6")
    assert stage.journal() == ["Joined", "CheckedIn"]


async def test_a_submission_that_is_sent_again_after_a_restart_has_one_effect(stage: Stage) -> None:
    await stage.join()
    form = await stage.type("/checkin")
    await stage.submit(form, tasks=["read"], hours="6")
    sent = len(stage.slack.sent) - 1
    await stage.start()
    await stage.again(sent)
    await stage.settle()
    assert stage.journal() == ["Joined", "CheckedIn"]


async def test_a_form_that_is_submitted_again_with_other_words_counts_as_another(stage: Stage) -> None:
    await stage.join()
    form, second = await stage.type("/checkin"), await stage.type("/checkin")
    await stage.submit(form, hours="6")
    await stage.submit(second, hours="7")
    assert stage.journal() == ["Joined", "CheckedIn", "CheckedIn"]


async def test_workspaces_whose_ids_are_alike_do_not_see_one_another(stage: Stage) -> None:
    await stage.join()
    assert VOICE.refusals.no_cohort in (await stage.type("/progress", team="T2")).words
    assert stage.journal(team="T2") == []


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_who_runs_the_workspace_may_open_a_cohort_in_the_channel_where_they_typed(stage: Stage) -> None:
    form = await stage.type("/cohort open", "UROOT", "C2")
    answer = await stage.submit(form, "UROOT", title="Spring", start="2027-03-01", zone="Europe/Berlin")
    assert answer.kind == "modal" and "Spring" in answer.words
    rooms = stage.ledger.transact_here(lambda tx: [str(cohort.room) for cohort in tx.cohorts()])
    assert rooms == ["slack:T1:C1", "slack:T1:C2"]
    # And from the result one can go on, in that channel.
    joining = await stage.press(answer, WORDS.join, "UROOT")
    assert (await stage.submit(joining, "UROOT", **{**TYPED, "name": "Root"})).kind == "modal"


async def test_others_may_not(stage: Stage) -> None:
    assert VOICE.refusals.not_organiser in (await stage.type("/cohort open", channel="C2")).words


async def test_who_opened_the_cohort_may_see_what_went_out(stage: Stage) -> None:
    assert VOICE.refusals.not_organiser in (await stage.type("/cohort log", "UADA")).words
    assert "welcome" in (await stage.type("/cohort log", "UOLU")).words


async def test_who_has_come_to_run_the_workspace_need_not_wait_a_day(stage: Stage) -> None:
    assert VOICE.refusals.not_organiser in (await stage.type("/cohort log")).words
    stage.slack.teams["T1"].users["UADA"] = Admin("UADA", "ada")
    stage.clock.reach(WEEK_1 + timedelta(minutes=1, seconds=1))
    assert "welcome" in (await stage.type("/cohort log")).words


# --- clicks -----------------------------------------------------------------------------------------------------------


async def _posted(stage: Stage, channel: str) -> Posted:
    """A post of the herald's, with a button."""
    said = Message(body=(markdown("Week 1"),), buttons=(Button("Show it", "week", "1"),
                                                         Button("Check in", "checkin")),
                         cohort=stage.cohort.id)
    await stage.clients.call("T1", "chat.postMessage",
                             json={"channel": channel, **render.message(said, DeliveryKey("k"))})
    return stage.slack.history("T1", channel)[-1]


async def test_a_button_below_an_answer_puts_the_next_answer_in_its_place(stage: Stage) -> None:
    await stage.join()
    first = await stage.type("/progress")
    second = await stage.press(first, WORDS.board)
    assert second.message is first.message and second.message is not None and len(second.message.edits) == 1


async def test_who_presses_while_the_desk_is_slow_is_told_to_wait_and_then_answered(stage: Stage) -> None:
    await stage.join()
    first = await stage.type("/progress")
    await _late(stage)
    waiting = await stage.press(first, WORDS.board)
    assert waiting.words == WORDS.waiting and waiting.message is not first.message and first.message is not None
    stage.desk.opened.set()
    await stage.settle()
    assert WORDS.waiting not in first.message.words and len(first.message.edits) == 1


async def test_who_presses_in_a_modal_while_the_desk_is_slow_reads_so_there(stage: Stage) -> None:
    await stage.join()
    result = await stage.submit(await stage.type("/checkin"), hours="6")
    assert result.view is not None
    await _late(stage)
    pressing = asyncio.create_task(stage.press(result, WORDS.my_progress))
    await stage.slack.until(lambda: result.view is not None and result.view.words == WORDS.waiting)
    stage.desk.opened.set()
    await pressing
    await stage.settle()
    assert "Uada" in result.view.words


@pytest.mark.parametrize("channel", ["C1", "UADA"])
async def test_a_button_below_a_post_is_answered_in_private_and_the_post_stays(stage: Stage, channel: str) -> None:
    """Also in direct messages: the herald must find its own again by what is in them."""
    await stage.join()
    post = await _posted(stage, channel)
    shown = await stage.press(post, "Show it")
    assert shown.kind == "ephemeral" and "Find things" in shown.words
    assert post.edits == [] and len(stage.slack.history("T1", channel)) == 1


async def test_a_button_may_open_a_form(stage: Stage) -> None:
    await stage.join()
    form = await stage.press(await _posted(stage, "UADA"), "Check in")
    assert form.kind == "modal"
    assert (await stage.submit(form, tasks=["read"])).kind == "modal" and stage.journal() == ["Joined", "CheckedIn"]


async def test_a_button_in_a_modal_goes_on_in_the_modal(stage: Stage) -> None:
    await stage.join()
    result = await stage.submit(await stage.type("/checkin"), hours="6")
    progress = await stage.press(result, WORDS.my_progress)
    assert progress.view is result.view and "Uada" in progress.words
    form = await stage.press(progress, WORDS.check_in)
    assert form.view is result.view and titles(form.view)[1] != []
    assert (await stage.submit(form, hours="7")).kind == "modal"
    assert stage.journal() == ["Joined", "CheckedIn", "CheckedIn"]


async def test_a_click_that_is_sent_twice_has_one_effect(stage: Stage) -> None:
    """Two rests are all there are; a click is one."""
    await stage.join()
    said = Message(body=(markdown("Rest?"),), buttons=(Button("Rest", "cohort rest"),),
                         cohort=stage.cohort.id)
    await stage.clients.call("T1", "chat.postMessage", json={"channel": "UADA", **render.message(said)})
    stage.slack.duplicate()
    await stage.press(stage.slack.history("T1", "UADA")[-1], "Rest")
    await stage.settle()
    assert stage.journal() == ["Joined", "Rested"]


async def test_a_link_is_acknowledged_and_nothing_else(stage: Stage) -> None:
    said = Message(body=(markdown("Read"),), buttons=(Link("Read", "https://example.org/"),))
    await stage.clients.call("T1", "chat.postMessage", json={"channel": "C1", **render.message(said)})
    assert (await stage.press(stage.slack.history("T1", "C1")[-1], "Read", within=0.05)).kind == "nothing"
    assert stage.slack.sent[-1].acknowledged


# --- the home ---------------------------------------------------------------------------------------------------------


async def test_the_home_shows_the_week_the_figures_and_the_settings(stage: Stage) -> None:
    await stage.join()
    home = await stage.slack.open_home("T1", "UADA")
    assert home.kind == "home" and home.view is not None
    labels = [element["text"]["text"] for block in home.view.blocks if block["type"] == "actions"
              for element in block["elements"]]
    assert WORDS.check_in in labels and WORDS.settings in labels and "Find things" in home.words
    form = await stage.press(home, WORDS.settings)
    assert titles(form.view)[0] == VOICE.join_form.settings_title


async def test_a_button_in_the_home_is_answered_in_a_modal(stage: Stage) -> None:
    await stage.join()
    said = Message(body=(markdown("x"),), buttons=(Button("My week", "week"),),
                         cohort=stage.cohort.id)
    home = stage.slack.raised("T1", "UADA", render.home([said]), None)
    shown = await stage.press(Shown("home", view=home), "My week")
    assert shown.kind == "modal" and shown.view is not home and shown.view is not None
    assert shown.view.title == "My week" and "Find things" in shown.words


async def test_a_slow_answer_for_the_home_comes_into_a_modal_that_says_to_wait(stage: Stage) -> None:
    """The trigger is spent in time, so that even a form can follow."""
    await stage.join()
    home = await stage.slack.open_home("T1", "UADA")
    await _late(stage)
    waiting = await stage.press(home, WORDS.check_in)
    assert waiting.kind == "modal" and titles(waiting.view) == (WORDS.check_in, []) and waiting.words == WORDS.waiting
    stage.ticks.at += 4
    stage.desk.opened.set()
    await stage.settle()
    form = Shown("modal", view=waiting.view)
    assert titles(form.view)[1] != []
    await stage.start()
    assert (await stage.submit(form, hours="6")).kind == "modal" and stage.journal() == ["Joined", "CheckedIn"]


async def test_an_answer_for_the_home_that_no_modal_waits_for_comes_by_direct_message(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.join()
    home = await stage.slack.open_home("T1", "UADA")
    await _late(stage)
    monkeypatch.setattr(shell, "ACKNOWLEDGED", (0.01,))
    stage.slack.fault("views.open", Fail(503))
    pressing = asyncio.create_task(stage.press(home, WORDS.check_in, within=0.1))
    await stage.desk.waiting.wait()
    stage.ticks.at += 4
    await until(lambda: not stage.slack._faults["views.open"])
    stage.desk.opened.set()
    await pressing
    await stage.settle()
    assert TOO_SLOW in stage.slack.history("T1", "UADA")[-1].words


async def test_the_home_of_a_stranger_says_how_to_join(stage: Stage) -> None:
    home = await stage.slack.open_home("T1", "UBOB")
    assert "/cohort join" in home.words and VOICE.commands.join in home.words


async def test_before_the_first_week_the_home_says_when_it_begins_and_warns_of_nothing(
        kind: Kind, database: Database) -> None:
    async with staged(kind, database, OPENED) as stage:
        await stage.join()
        home = await stage.slack.open_home("T1", "UADA")
        assert "⚠️" not in home.words and "4" in home.words


async def test_who_left_has_a_home_that_leads_back(stage: Stage) -> None:
    await stage.join()
    await stage.type("/cohort leave")
    await stage.settle()
    home = stage.slack.teams["T1"].homes["UADA"]
    assert VOICE.refusals.not_enrolled in home.words
    form = await stage.press(Shown("home", view=home), WORDS.join)
    assert titles(form.view)[0] == VOICE.join_form.title


async def test_the_tab_of_messages_draws_no_home(stage: Stage) -> None:
    await stage.slack.event("T1", {"type": "app_home_opened", "user": "UADA", "channel": "D1", "tab": "messages"})
    await stage.settle()
    assert stage.said("views.publish") == 0 and stage.slack.sent[-1].acknowledged


async def test_a_home_that_slack_does_not_take_harms_nothing(stage: Stage) -> None:
    stage.slack.fault("views.publish", Fail(500))
    await stage.slack.open_home("T1", "UADA", within=0.05)
    assert stage.slack.sent[-1].acknowledged
    assert (await stage.slack.open_home("T1", "UADA")).kind == "home"


# --- coming and going of the app --------------------------------------------------------------------------------------


async def test_who_uninstalls_the_app_leaves_no_token_behind(stage: Stage) -> None:
    stage.slack.uninstall("T1")
    await stage.slack.settled()
    assert await stage.installations.of("T1") is None and await stage.installations.of("T2") is not None


async def test_a_late_event_does_not_take_a_new_installation_away(stage: Stage) -> None:
    stage.slack.uninstall("T1")
    await stage.slack.settled()
    stage.clock.reach(WEEK_1 + timedelta(minutes=1))
    await stage.installations.async_save(Installation(
        user_id="UROOT", team_id="T1", bot_token="xoxb-new",  # noqa: S106  # of nobody
        installed_at=stage.clock.now().timestamp()))
    await stage.again()
    assert await stage.installations.of("T1") is not None


async def test_the_token_of_a_person_is_not_ours(stage: Stage) -> None:
    await stage.slack.event("T1", {"type": "tokens_revoked", "tokens": {"oauth": ["UADA"], "bot": []}})
    assert stage.slack.sent[-1].acknowledged and await stage.installations.of("T1") is not None


async def test_what_could_not_be_written_down_is_sent_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.slack, "patience", 1.0)
    done = stage.clients.revoked
    calls: list[object] = []

    async def revoked(*args: object) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise OSError("the disk is full")
        await done(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.clients, "revoked", revoked)
    await stage.slack.event("T1", {"type": "app_uninstalled"})
    assert len(calls) == 2 and await stage.installations.of("T1") is None
    assert [(sent.retry, sent.acknowledged) for sent in stage.slack.sent] == [(0, False), (1, True)]


# --- what nobody expects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [
    {"type": "shortcut", "callback_id": "unknown"},
    {"type": "message_action", "callback_id": "unknown", "message": {}, "channel": {"id": "C1"}},
    {"type": "view_submission", "view": {"type": "modal", "callback_id": "", "blocks": [], "state": {"values": {}}}},
    {"type": "view_submission", "view": {"type": "modal", "callback_id": "other", "blocks": [],
                                         "state": {"values": {}}}},
    {"type": "view_closed", "view": {"type": "modal", "callback_id": "other"}},
    {"type": "block_suggestion", "action_id": "unknown", "block_id": "b", "value": "x"},
    {"type": "block_actions", "actions": [{"type": "button", "action_id": "old", "block_id": "b", "value": "{"}]},
    {"type": "block_actions", "actions": [{"type": "button", "action_id": "press:0", "block_id": "b", "value": "{"}]},
    {"type": "something_new"},
], ids=lambda payload: payload["type"])
async def test_whatever_slack_sends_is_acknowledged(
        stage: Stage, caplog: pytest.LogCaptureFixture, payload: dict[str, object]) -> None:
    who = {"user": {"id": "UADA", "team_id": "T1"}, "team": {"id": "T1"}, "trigger_id": "1.2", "api_app_id": "A1"}
    assert await stage.slack._deliver("interactive", {**who, **payload}, "something") is None
    # Bolt warns of what nobody listens to.
    assert (caplog.text == "") == (payload["type"] != "something_new")


async def test_events_that_nobody_asked_for_are_acknowledged(stage: Stage) -> None:
    for event in ({"type": "message", "channel": "C1", "text": "hello", "user": "UBOB", "ts": "1.2"},
                  {"type": "message", "subtype": "bot_message", "channel": "C1", "text": "hello", "ts": "1.2"},
                  {"type": "team_join", "user": {"id": "UNEW"}}):
        await stage.slack.event("T1", event)
        assert stage.slack.sent[-1].acknowledged, event


# --- when something goes wrong ----------------------------------------------------------------------------------------


async def test_a_bug_is_told_as_not_saved_and_no_word_of_a_member_is_logged(
        kind: Kind, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with staged(kind, database, WEEK_1, desk=Broken) as stage:
        assert NOT_SAVED in (await stage.type("/progress secret-word")).words
        form = await stage.type("/cohort join")
        refused = await stage.submit(form, **{**TYPED, "name": "secret-word"})
        assert dict(refused.errors) == {"field:name": NOT_SAVED}
    assert "ZeroDivisionError" in caplog.text and "secret-word" not in caplog.text


async def test_who_pressed_is_told_even_if_the_answer_cannot_be_drawn(
        stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.join()
    home = await stage.slack.open_home("T1", "UADA")

    def broken(*_: object) -> render.Payload:
        raise ZeroDivisionError

    monkeypatch.setattr(render, "form", broken)
    await stage.press(home, WORDS.check_in, within=0.1)
    await stage.settle()
    assert NOT_SAVED in stage.slack.history("T1", "UADA")[-1].words


async def test_no_token_address_or_word_is_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever level somebody asks of the log."""
    caplog.set_level("DEBUG")
    await stage.join(name="secret-word")
    stage.slack.fault("response_url", Fail(404))
    stage.slack.fault("views.publish", Fail(500))
    await _late(stage)
    typing = asyncio.create_task(stage.type("/progress secret-word", within=0.05))
    await stage.desk.waiting.wait()
    await stage.acknowledged("/progress")
    stage.desk.opened.set()
    await typing
    await stage.settle()
    await stage.slack.open_home("T1", "UADA", within=0.1)
    team = stage.slack.teams["T1"]
    assert team.token is not None
    secrets = [team.token.value, stage.slack.app_token, stage.slack.signing_secret, "secret-word", "/response/",
               *(str(sent.payload["trigger_id"]) for sent in stage.slack.sent if "trigger_id" in sent.payload)]
    assert "Slack did not take an answer (404)" in caplog.text
    own = [record.getMessage() for record in caplog.records if not record.name.startswith(("tests", "asyncio"))]
    assert [secret for secret in secrets if any(secret in line for line in own)] == []


async def test_an_app_without_a_token_answers_all_the_same(stage: Stage) -> None:
    """Commands need none; of forms the person is told that they did not open."""
    await stage.installations.async_delete_all(enterprise_id=None, team_id="T1")
    assert "Find things" in (await stage.type("/week")).words
    assert TOO_SLOW in (await stage.type("/cohort join")).words


def test_the_account_of_a_place_is_of_its_workspace() -> None:
    place = shell._Place("T1", "UADA", "D1", "7")
    assert (place.account, place.room, place.request) == (Account("slack", "T1", "UADA"), None, "slack:7")
