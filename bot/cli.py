"""The `ninety` command. What is heavy is imported by the command that needs it, so that `ninety --help` is quick."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    import asyncio

    from bot.cohort.journal import Granted, Voided
    from bot.ledger import Cohort, Room
    from bot.store.ledger import StoredLedger
    from content.model import Guide

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="One guide.yaml becomes a published guide and a ninety-day cohort in a chat room.")
site = typer.Typer(no_args_is_help=True, help="Build the guide's site, or serve it while you edit.")
cohort = typer.Typer(no_args_is_help=True, help="Open a cohort, and see what it did.")
app.add_typer(site, name="site")
app.add_typer(cohort, name="cohort")
doctor = typer.Typer(no_args_is_help=True, help="Check what a platform must know and allow before the first post.")
app.add_typer(doctor, name="doctor")
manifest = typer.Typer(no_args_is_help=True, help="What a platform is told of the bot when its app is made.")
app.add_typer(manifest, name="manifest")

GuideFile = Annotated[Path | None, typer.Option("--guide", help="Another guide.yaml than the one of this checkout.",
                                                envvar="NINETY_GUIDE")]


def main() -> None:
    app()


def _fail(problem: object, code: int = 1) -> NoReturn:
    typer.echo(f"ninety: {problem}", err=True)
    raise typer.Exit(code)


def _guide(path: Path | None) -> Guide:
    from content.loading import GuideError, default_path, load

    try:
        return load(path or default_path())
    except GuideError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        _fail(f"{len(error.problems)} problem{'s'[:len(error.problems) != 1]} in the guide; nothing was done")


# --- the guide --------------------------------------------------------------------------------------------------------


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="A guide.yaml; this checkout's if left out.")] = None,
    links: Annotated[bool, typer.Option("--links", help="Also ask every address elsewhere whether it still answers. "
                                                        "Needs a network; without one it says so.")] = False,
) -> None:
    """Check the guide: every problem with its line, and what to do about it. Exit code 1 when there is one."""
    from content.loading import GuideError, default_path, load

    path = file or default_path()
    try:
        guide = load(path)
    except GuideError as error:
        for problem in error.problems:
            typer.echo(problem)
        raise typer.Exit(1) from None
    plans = ", ".join(f"{name} ({plan.days} days, {len(plan.steps)} steps)" for name, plan in guide.plans.items())
    typer.echo(f"{path.name} is sound: {plans}; {len(guide.skills)} skills, {len(guide.projects)} projects, "
               f"{len(guide.tracks)} tracks, {len(guide.sources)} sources.")
    if links:
        raise typer.Exit(_run(_check_links(path.name, path.read_text(encoding="utf-8"))))


async def _check_links(name: str, text: str) -> int:
    """0 when all answer or there is no network, which is no fault of the guide; 1 when an address is dead."""
    from content.links import Offline, answers
    from content.links import links as find

    found = list(find(text))
    dead = []
    try:
        async for answer in answers(found):
            if answer.wrong:
                dead.append(answer)
    except Offline:
        typer.echo(f"none of {len(found)} addresses could be reached: is there a network? Nothing was checked.",
                   err=True)
        return 0
    for answer in sorted(dead, key=lambda answer: answer.link.line):
        typer.echo(f"{name}:{answer.link.line}: {answer.link.address} {answer.wrong}")
    typer.echo(f"{len(found) - len(dead)} of {len(found)} addresses answer.")
    return 1 if dead else 0


@app.command()
def schema(write: Annotated[bool, typer.Option("--write", help="Into content/guide.schema.json instead of the "
                                                              "screen.")] = False) -> None:
    """The JSON Schema of guide.yaml, for editors that complete and check while you type."""
    from content.loading import default_path
    from content.schema import schema_text

    if write:
        path = default_path().with_name("guide.schema.json")
        path.write_text(schema_text(), encoding="utf-8")
        typer.echo(f"wrote {path.name}")
    else:
        typer.echo(schema_text(), nl=False)


@app.command()
def pages(directory: Annotated[Path, typer.Argument(help="Made if it is not there.")]) -> None:
    """Write the pages made from the guide as plain Markdown with their navigation, for any site generator."""
    # The bot never imports the site's code; it runs it.
    raise typer.Exit(subprocess.run([sys.executable, "-m", "docs", str(directory)], check=False).returncode)  # noqa: S603  # ours


@site.command("build")
def site_build(into: Annotated[Path, typer.Option("--into", help="The folder of the finished site.")] = Path("site")) \
        -> None:
    """Build the site, strictly: a dead link is an error."""
    raise typer.Exit(_mkdocs("build", "--strict", "--quiet", "--site-dir", str(into.absolute())))


@site.command("serve")
def site_serve(port: Annotated[int, typer.Option(min=1, max=65535)] = 8000) -> None:
    """Serve the site and show every saved edit; a broken guide shows a banner over the last good site."""
    # Dirty, as MkDocs calls it, writes only what changed; docs/preview.py sees to it that this is all that changed.
    raise typer.Exit(_mkdocs("serve", "--livereload", "--dirty", "--dev-addr", f"127.0.0.1:{port}"))


def _mkdocs(*arguments: str) -> int:
    import os

    import content

    config = Path(content.__file__).parents[1] / "mkdocs.yml"
    if not config.is_file():
        _fail(f"there is no mkdocs.yml at {config.parent}; run this in a checkout of Ninety")
    command = [sys.executable, "-m", "mkdocs", arguments[0], "--config-file", str(config), *arguments[1:]]
    # The notice is about MkDocs 2, which we pin against.
    return subprocess.run(command, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}).returncode  # noqa: S603  # ours


# --- trying it out ----------------------------------------------------------------------------------------------------


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine only.")] = 8090,
    seed: Annotated[int, typer.Option(help="Of the simulated members.")] = 7,
    site_dir: Annotated[Path, typer.Option("--site", help="The built guide.")] = Path("site"),
    guide: GuideFile = None,
) -> None:
    """A cohort in the browser: the guide at /, a chat room at /chat/ where time can be moved forward."""
    import tempfile

    from bot.demo import demo as stage

    loaded = _guide(guide)
    built = site_dir if site_dir.is_dir() else None

    async def play() -> None:
        with tempfile.TemporaryDirectory(prefix="ninety-demo-") as folder:
            async with stage(loaded, f"sqlite:///{folder}/demo.db", built, seed) as application:
                await _serve(application, port, "The demo is up. It lasts until you press Ctrl-C, and leaves nothing.")

    _run(play())


@app.command()
def rehearse(
    members: Annotated[int, typer.Option(min=1, max=100_000, help="Who join and check in by themselves.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed plays the same cohort, to the byte.")] = 1,
    start: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of the plan.")] = None,
    zone: Annotated[str, typer.Option(help="The cohort's time zone.")] = "Europe/Berlin",
    plan: Annotated[str | None, typer.Option(help="The guide's usual plan if left out.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Only the summary, not the transcript.")] = False,
    guide: GuideFile = None,
) -> None:
    """Play a whole cohort in virtual time before day one: everything the bot will say, and to whom.

    Prints the transcript and a summary. Exit code 1 when anything was missed, failed or above the message budget.
    """
    import tempfile

    from bot.rehearsal import rehearse as play
    from scheduler.calendar import UnknownZone
    from scheduler.calendar import zone as find_zone

    loaded = _guide(guide)
    try:
        found_zone = find_zone(zone).key
    except UnknownZone as error:
        _fail(error, 2)
    # A date of its own, so that the same command says the same next year; it crosses both clock changes of Europe.
    first = start.date() if start else date(2026, 10, 5)
    with (tempfile.TemporaryDirectory(prefix="ninety-rehearsal-") as folder,
          _Progress("the cohort", alone=summary) as progress):
        result = _run(play(loaded, _plan(loaded, plan), first, found_zone, members, seed,
                           None if summary else typer.echo,
                           f"sqlite:///{folder}/rehearsal.db", progress))
    if not summary:
        typer.echo("")
    for line in result.lines():
        typer.echo(line)
    raise typer.Exit(0 if result.sound else 1)


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many are played.")] = 200,
    first: Annotated[int, typer.Option("--from", min=0, help="The first of them.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Play this one alone.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed: everything that happens in it.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if left out.")] = None,
) -> None:
    """Look for a way to lose or double something: crashes, pauses, wrong clocks and a chat that loses replies, by seed.

    Prints what happened, and each promise that broke, with the command that plays it again. Exit code 1 then.
    """
    from bot.simulation import runs

    if seed is not None:
        raise typer.Exit(0 if runs.one(seed, typer.echo, trace=trace) else 1)
    with _Progress("the seeds") as progress:
        sound = runs.many(first, seeds, jobs, typer.echo, progress)
    raise typer.Exit(0 if sound else 1)


class _Progress:
    """A percentage on standard error, where that is a terminal, and nothing else is written there meanwhile."""

    def __init__(self, of: str, *, alone: bool = False) -> None:
        self._of = of
        self._shown = sys.stderr.isatty() and (alone or not sys.stdout.isatty())

    def __call__(self, share: float) -> None:
        if self._shown:
            sys.stderr.write(f"\r{share:4.0%} of {self._of} played")
            sys.stderr.flush()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * 40 + "\r")


# --- running it -------------------------------------------------------------------------------------------------------


@app.command()
def run(
    people: Annotated[list[str] | None, typer.Option("--person", help="Somebody who may sit at this browser; once for "
                                                     "each. Members of the cohort are known already.")] = None,
    room: Annotated[str, typer.Option(help="Which local room, where there are several.")] = "local:ninety",
    guide: GuideFile = None,
) -> None:
    """Run the bot in real time: on Discord and Slack, if their tokens are set, and in the local chat room on this
    machine."""
    import gc

    # What is made until it is ready stays. To look through it for garbage again and again took a tenth of the start.
    gc.disable()

    from bot import logs
    from bot.app import running
    from bot.health import Health, operator
    from bot.metrics import Metrics
    from bot.settings import Settings
    from bot.store.migrate import DatabaseIsNewer

    settings, loaded, place = Settings(), _guide(guide), _room(room)
    logs.set_up(settings.log, settings.log_level)
    health, metrics = Health(), Metrics()

    async def serve() -> None:
        async with operator(settings.operator_listen, health, metrics), \
                running(settings, loaded, place, people or [], metrics=metrics, health=health) as ninety:
            gc.enable()
            await _serve(ninety.web, settings.port, "Ninety is running. Stop it with Ctrl-C.", ninety.lines,
                         health.leave)

    try:
        _run(serve())
    except (DatabaseIsNewer, ValueError) as error:
        _fail(error)
    finally:
        gc.enable()


@app.command()
def migrate() -> None:
    """Bring the database of NINETY_DATABASE_URL to this version. `ninety run` does so by itself."""
    from bot.settings import Settings
    from bot.store.database import Database
    from bot.store.migrate import DatabaseIsNewer
    from bot.store.migrate import migrate as bring_up

    try:
        database = Database(Settings().database_url)
    except ValueError as error:
        _fail(error)
    try:
        before, now = bring_up(database)
    except (DatabaseIsNewer, ValueError) as error:
        _fail(error)
    finally:
        database.close()
    typer.echo(f"The database is at version {now} already." if before == now else
               f"The database went from {'nothing' if before is None else f'version {before}'} to version {now}.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to.")],
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Copy the database of NINETY_DATABASE_URL as it is at this instant, also while the bot runs. SQLite only."""
    from bot.settings import Settings
    from bot.store import backup as copies

    try:
        contents = copies.backup(copies.file_of(Settings().database_url), file, force=force)
    except copies.NotSaved as error:
        _fail(error)
    typer.echo(f"{file} is a sound copy: {contents}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="As `ninety backup` wrote it.")],
    force: Annotated[bool, typer.Option("--force", help="Also where there is a database; it is kept aside.")] = False,
) -> None:
    """Put a copy in the place of the database of NINETY_DATABASE_URL, brought to this version. The bot must not run.

    What was written since the copy was made is not in it. What has become due since is looked for in the rooms before
    it is posted, so that nothing appears twice."""
    from bot.settings import Settings
    from bot.store import backup as copies
    from bot.store.migrate import DatabaseIsNewer

    try:
        database = copies.file_of(Settings().database_url)
        restored = copies.restore(file, database, datetime.now(UTC), force=force)
    except (copies.NotSaved, DatabaseIsNewer) as error:
        _fail(error)
    typer.echo(f"{database} is restored: {restored.contents}.")
    if restored.aside is not None:
        typer.echo(f"What was there before is kept as {restored.aside}.")


@app.command("restored")
def mark_restored() -> None:
    """Tell Ninety that its database was put back by other means, as pg_restore, before it runs on it again.

    What has become due since the copy was made is then looked for in the rooms before it is posted. `ninety restore`
    does so by itself."""
    from bot.settings import Settings
    from bot.store.backup import doubt
    from bot.store.database import Database

    with _Open():
        pass    # brought to this version
    database = Database(Settings().database_url)
    try:
        found = doubt(database, datetime.now(UTC))
    finally:
        database.close()
    typer.echo(f"{found} deliver{'y' if found == 1 else 'ies'} will be looked for before being posted.")


@doctor.command("discord")
def doctor_discord(guide: GuideFile = None) -> None:
    """The token, the clock, the commands, and what the bot may do in each cohort's channel; and a link to invite it.

    Each line is ok, a problem or a note. Nothing is changed. Exit code 1 when there is a problem."""
    import logging

    from bot.discord.commands import payload
    from bot.discord.doctor import examine
    from bot.settings import Settings
    from content.edition import Edition
    from scheduler.clock import RealClock

    settings, loaded = Settings(), _guide(guide)
    token = settings.discord_token.get_secret_value() if settings.discord_token else ""
    commands = payload(Edition.of(loaded, loaded.cohort.plan).voice)
    with _Open() as ledger:
        cohorts = ledger.transact_here(lambda tx: list(tx.cohorts()))
    # discord.py warns on standard error of what it lacks for voice, and of what is told here in plain words.
    logging.getLogger("discord").addHandler(logging.NullHandler())

    async def told() -> bool:
        sound = True
        async for finding in examine(token, settings.discord_api_url, RealClock(), cohorts, commands):
            typer.echo(f"{finding.kind:8} {finding.text}")
            sound = sound and finding.kind != "problem"
        return sound

    raise typer.Exit(0 if _run(told()) else 1)


@doctor.command("slack")
def doctor_slack() -> None:
    """The settings, the tokens, the scopes, the clock, and whether the bot is in each cohort's channel.

    Each line is ok, a problem or a note. Nothing is changed. Exit code 1 when there is a problem."""
    from bot.settings import Settings
    from bot.slack.doctor import examine
    from bot.store.database import Database
    from scheduler.clock import RealClock

    settings = Settings()
    with _Open() as ledger:
        rooms = ledger.transact_here(lambda tx: [(one, room) for one in tx.cohorts() for room in tx.rooms(one.id)])

    async def told() -> bool:
        sound = True
        async with Database(settings.database_url) as database:
            async for finding in examine(settings, rooms, database, RealClock()):
                typer.echo(f"{finding.kind:8} {finding.text}")
                sound = sound and finding.kind != "problem"
        return sound

    raise typer.Exit(0 if _run(told()) else 1)


@manifest.command("slack")
def manifest_slack(
    socket: Annotated[bool, typer.Option("--socket/--http", help="By Socket Mode, which needs no public address, or by "
                                                                 "signed requests.")] = True,
    public_url: Annotated[str | None, typer.Option("--public-url", help="Where Slack finds us from outside; "
                                                   "NINETY_PUBLIC_URL if left out.")] = None,
    guide: GuideFile = None,
) -> None:
    """The app's manifest, as YAML: to be pasted at api.slack.com/apps, Create New App, From a manifest."""
    import yaml

    from bot.settings import Settings
    from bot.slack.doctor import not_public
    from bot.slack.manifest import manifest as drawn
    from content.edition import Edition

    loaded, address = _guide(guide), public_url or Settings().public_url or None
    if address is None and not socket:
        _fail("signed requests need an address that Slack can send to: give it with --public-url https://…, or set "
              "NINETY_PUBLIC_URL", 2)
    if address is not None and (why := not_public(address)):
        _fail(f"{'--public-url' if public_url else 'NINETY_PUBLIC_URL'} {why}", 2)
    made = drawn(Edition.of(loaded, loaded.cohort.plan).voice, address, socket)
    typer.echo(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=4000), nl=False)


@cohort.command("open")
def cohort_open(
    title: Annotated[str, typer.Argument(help="What its members call it, for example \"Autumn 2026\".")],
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of week 1, as 2026-11-30.")],
    zone: Annotated[str, typer.Option(help="Its posts follow this time zone: a city, or an IANA name.")],
    room: Annotated[str, typer.Option(help="Where it lives: local:CHANNEL, discord:SERVER:CHANNEL or "
                                         "slack:WORKSPACE:CHANNEL.")] =
        "local:ninety",
    organiser: Annotated[str, typer.Option(help="The user who is told when something is missed: their id on the "
                                                "platform.")] = "organiser",
    threads: Annotated[bool, typer.Option("--threads", help="Discord: a thread below each week's post.")] = False,
    role: Annotated[str, typer.Option(help="Discord: the id of the role that graduates get.")] = "",
    plan: Annotated[str | None, typer.Option(help="The guide's usual plan if left out.")] = None,
    guide: GuideFile = None,
) -> None:
    """Open a cohort in a room. It keeps the guide as it is now: later edits do not change it."""
    import secrets

    from bot.cohort.refusals import StartsTooEarly
    from bot.desk import open_cohort
    from bot.ledger import RoomTaken
    from content.edition import Edition
    from scheduler.calendar import UnknownZone

    loaded = _guide(guide)
    place = _room(room)
    if place.platform == "discord" and not organiser.isdecimal():
        _fail("--organiser must be a person's number on Discord (Developer Mode, right click on the name, Copy User "
              "ID): who is to be told when something is missed?", 2)
    if place.platform == "slack" and organiser[:1] not in ("U", "W"):
        _fail("--organiser must be a member's ID on Slack (their profile, the three dots, Copy member ID): who is to "
              "be told when something is missed?", 2)
    edition = Edition.of(loaded, _plan(loaded, plan))
    with _Open() as ledger:
        try:
            opened = _run(open_cohort(
                ledger, title, start.date(), zone, edition, place, place.account(organiser), secrets.token_hex(16),
                datetime.now(UTC), threads=threads, graduate_role=role))
        except RoomTaken:
            _fail(f"a cohort lives in {place} already; `ninety cohort list` shows it", 2)
        except StartsTooEarly as error:
            _fail(f"{error.given} is over; a cohort begins today or later", 2)
        except (UnknownZone, ValueError) as error:
            _fail(error, 2)
    typer.echo(f"Cohort {opened.id}, {opened.title}, is open in {opened.room}. Week 1 begins on {opened.start} "
               f"({opened.zone}), and it ends on {opened.course.spans[-1].last}.")
    typer.echo("`ninety run` starts the bot; "
               f"`ninety rehearse --start {opened.start} --zone {opened.zone}` shows beforehand what it will say.")


@cohort.command("list")
def cohort_list() -> None:
    """Every cohort of the database."""
    with _Open() as ledger:
        rows = ledger.transact_here(lambda tx: [(one, len(tx.members(one.id))) for one in tx.cohorts()])
    if not rows:
        typer.echo("There is no cohort yet. Open one: ninety cohort open \"Autumn\" --start 2026-11-30 --zone Berlin")
    for one, members in rows:
        typer.echo(f"{one.id:4}  {one.start} to {one.course.spans[-1].last}  {members:5} members  {one.room}  "
                   f"{one.title}")


@cohort.command("show")
def cohort_show(number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")]) -> None:
    """One cohort: where it stands, and how many checked in each week."""
    from bot.cohort.scoring import Record, State

    now = datetime.now(UTC)
    with _Open() as ledger:
        one = _find(ledger, number)
        journals = ledger.transact_here(lambda tx: tx.journals(one.id))
    records = [record for journal in journals.values() if (record := Record(one.course, journal, now)).present]
    running = one.course.running(now)
    typer.echo(f"{one.title} in {one.room}, {one.zone}, {len(records)} members")
    typer.echo(f"Plan {one.edition.plan_id}, edition {one.edition.digest[:12]}, opened {one.opened_at:%Y-%m-%d %H:%M} "
               "UTC")
    for number_, step in enumerate(one.edition.plan.steps, 1):
        span = one.course.span(step.id)
        states = [record.state(step) for record in records if step in record.place.own_steps]
        done = sum(state in (State.DONE, State.LATE) for state in states)
        mark = ">" if step.id == running and now < one.course.ends else " "
        shown = f"{done:4} of {len(states):4} checked in" if one.course.opens(step.id) <= now else " " * 24
        typer.echo(f"{mark} {number_:2}  {span.first} to {span.last}  {shown}  {step.title}")


@cohort.command("log")
def cohort_log(
    number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")],
    wrong: Annotated[bool, typer.Option("--wrong", help="Only what was missed, failed or is not known.")] = False,
) -> None:
    """Every delivery: did it go out, when, where to find it, and if not why. Times are in the cohort's zone."""
    from zoneinfo import ZoneInfo

    from bot.ledger import State

    with _Open() as ledger:
        one = _find(ledger, number)
        logged = ledger.transact_here(lambda tx: tx.deliveries(one.id))
    zone = ZoneInfo(one.zone)
    for entry in logged:
        if wrong and entry.state not in (State.MISSED, State.FAILED, State.UNKNOWN):
            continue
        sent = (f", sent {entry.receipt.at.astimezone(zone):%Y-%m-%d %H:%M:%S}, {entry.receipt.link}"
                if entry.receipt else "")
        why = f", {entry.reason}" if entry.reason else ""
        typer.echo(f"{entry.delivery.due.astimezone(zone):%Y-%m-%d %H:%M}  {entry.state.value:9}  "
                   f"{entry.delivery.key}{sent}{why}")


@cohort.command("diff")
def cohort_diff(
    number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")],
    guide: GuideFile = None,
) -> None:
    """What has changed in the guide since the cohort was opened. The cohort keeps what it started with."""
    from content.edition import Edition, changes

    loaded = _guide(guide)
    with _Open() as ledger:
        one = _find(ledger, number)
    found = changes(one.edition, Edition.of(loaded, _plan(loaded, one.edition.plan_id)))
    for change in found:
        typer.echo(change)
    if not found:
        typer.echo("The guide has not changed since the cohort was opened.")


@cohort.command("member")
def cohort_member(
    number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")],
    user: Annotated[str, typer.Argument(help="The member's id on their platform.")],
) -> None:
    """A member's points with why, and the entries of their journal. What they wrote is not shown."""
    from bot.cohort.journal import Voided
    from bot.desk import record_of

    with _Open() as ledger:
        try:
            record = _run(record_of(ledger, _find(ledger, number).id, user, datetime.now(UTC)))
        except LookupError as error:
            _fail(error.args[0], 2)
    void = {entry.event.of for entry in record.journal if isinstance(entry.event, Voided)}
    for entry in record.journal:
        event = entry.event
        told = " ".join(f"{name}={value}" for name in ("step", "first", "zone", "points", "of", "reason", "by")
                        if (value := getattr(event, name, None)) is not None)
        typer.echo(f"{entry.seq:6}  {event.at:%Y-%m-%d %H:%M} UTC  {type(event).__name__:9}  {told}"
                   f"{'  (void)' if entry.seq in void else ''}")
    for step in record.course.edition.plan.steps:
        if lines := record.score(step.id).lines:
            why = ", ".join(f"{line.rule.value} {line.points:+d}" for line in lines)
            typer.echo(f"{record.score(step.id).points:6}  {step.title}: {why}")
    typer.echo(f"{record.points:6}  points in all, streak {record.streak}, {record.rests_left} rest weeks left")


@cohort.command("grant", context_settings={"ignore_unknown_options": True})
def cohort_grant(
    number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")],
    user: Annotated[str, typer.Argument(help="The member's id on their platform.")],
    points: Annotated[int, typer.Argument(min=-1000, max=1000, help="Below 0 takes points away.")],
    reason: Annotated[str, typer.Option(help="The member reads it.")],
) -> None:
    """Correct a member's points by hand. It is a new entry in their journal, and they see it in /progress."""
    from bot.cohort.journal import Granted

    now = datetime.now(UTC)
    _correct(number, user, Granted(now, points, reason, "organiser"), now)


@cohort.command("void")
def cohort_void(
    number: Annotated[int, typer.Argument(help="As `ninety cohort list` shows it.")],
    user: Annotated[str, typer.Argument(help="The member's id on their platform.")],
    entry: Annotated[int, typer.Argument(help="The entry's number, as `ninety cohort member` shows it.")],
    reason: Annotated[str, typer.Option(help="Kept with it.")],
) -> None:
    """Let an entry of a member's journal count no more. Nothing is deleted; voiding the voiding undoes it."""
    from bot.cohort.journal import Seq, Voided

    now = datetime.now(UTC)
    _correct(number, user, Voided(now, Seq(entry), reason, "organiser"), now)


def _correct(number: int, user: str, event: Granted | Voided, now: datetime) -> None:
    from bot.desk import correct

    with _Open() as ledger:
        try:
            record = _run(correct(ledger, _find(ledger, number).id, user, event, now))
        except LookupError as error:
            _fail(error.args[0], 2)
    typer.echo(f"{user} has {record.points} points now.")


# --- shared -----------------------------------------------------------------------------------------------------------


def _plan(guide: Guide, name: str | None) -> str:
    if name is not None and name not in guide.plans:
        _fail(f"the guide has no plan {name!r}; it has {', '.join(guide.plans)}", 2)
    return name or guide.cohort.plan


def _room(typed: str) -> Room:
    from bot.ledger import Room

    match typed.split(":"):
        case ["local", channel] if channel:
            return Room("local", "", channel)
        case ["discord", server, channel] if server.isdecimal() and channel.isdecimal():
            return Room("discord", server, channel)
        case ["slack", workspace, channel] if workspace[:1] == "T" and channel[:1] in ("C", "G"):
            return Room("slack", workspace, channel)
        case _:
            _fail(f"{typed!r} is no room: write local:CHANNEL, such as local:ninety, discord:SERVER:CHANNEL with the "
                  "two numbers of a channel's link, or slack:WORKSPACE:CHANNEL with its T… and C…", 2)


class _Open:
    """The ledger of NINETY_DATABASE_URL, brought to this version."""

    def __enter__(self) -> StoredLedger:
        from bot.settings import Settings
        from bot.store.database import Database
        from bot.store.ledger import StoredLedger
        from bot.store.migrate import DatabaseIsNewer
        from bot.store.migrate import migrate as bring_up

        try:
            self._database = Database(Settings().database_url)
        except ValueError as error:
            _fail(error)
        try:
            bring_up(self._database)
        except (DatabaseIsNewer, ValueError) as error:
            self._database.close()
            _fail(error)
        return StoredLedger(self._database)

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _find(ledger: StoredLedger, number: int) -> Cohort:
    found = ledger.transact_here(lambda tx: [one for one in tx.cohorts() if one.id == number])
    if not found:
        _fail(f"there is no cohort {number}; `ninety cohort list` shows those there are", 2)
    return found[0]


async def _serve(application: object, port: int, greeting: str, lines: Sequence[asyncio.Task[None]] = (),
                 leave: Callable[[], None] = lambda: None) -> None:
    """Until the process is asked to end, or one of the lines fails for good; then it first calls `leave`."""
    import errno

    from aiohttp import web

    assert isinstance(application, web.Application)  # noqa: S101  # typed loosely so that --help need not import aiohttp
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _fail(f"port {port} is taken, perhaps by another Ninety; stop it, or choose another port")
        # Before anybody is told that it runs, and may ask it to end.
        asked = _asked_to_end()
        typer.echo(f"{greeting}\n\n  guide  http://127.0.0.1:{port}/\n  chat   http://127.0.0.1:{port}/chat/\n")
        await _ended(asked, lines)
    finally:
        leave()
        await runner.cleanup()


def _asked_to_end() -> asyncio.Event:
    """By a signal, from now on."""
    import asyncio
    import signal

    asked = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, asked.set)
    return asked


async def _ended(asked: asyncio.Event, lines: Sequence[asyncio.Task[None]]) -> None:
    """Returns when the process is asked to end; raises what a line has failed with."""
    import asyncio

    stop = asyncio.create_task(asked.wait())
    ended, _ = await asyncio.wait({stop, *lines}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    for line in ended:
        line.result()


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # takes as long as all that --help needs besides

    return asyncio.run(work)
