"""Words to build guides with: a small whole one, and the same with something changed in it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from content.model import Fills, Say, Voice


def _voice(model: type[BaseModel], indent: str) -> Iterator[str]:
    # Made from the grammar, so that a new sentence of the bot breaks no test but its own.
    for name, field in model.model_fields.items():
        fills = [f"{{{x}}}" for fills in field.metadata if isinstance(fills, Fills) for x in fills.names]
        words = " ".join([name.replace("_", " ").capitalize(), *fills])
        if field.annotation is Say:
            yield f'{indent}{name}:\n{indent}  body: "{words}"\n'
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{indent}{name}:\n"
            yield from _voice(field.annotation, indent + "  ")
        else:
            yield f'{indent}{name}: "{words}"\n'


SMALL = """\
about:
  title: A guide
  tagline: What one needs, and no more.
  for_whom: Whoever writes software [@wrok].
  not_for: Nobody else.
  promise: |
    Costs rise [@wrok].

    So does pay.
  reviewed: 2026-11
sources:
  wrok:
    title: From software to models
    publisher: Wrok
    year: 2026
    kind: Blog
    good_for: Figures.
    caution: It sells tools.
roles:
  ai-engineer:
    title: AI engineer
    summary: Builds with models.
    day_to_day: Code.
    asks_for: Evidence.
    reach: realistic
    tracks: [products]
    sources: [wrok]
tracks:
  products:
    title: Products
    summary: Things people use.
    builds: Assistants.
    stack: [Python]
    pay:
      - level: Senior
        low: 150
        high: 200
        currency: USD
        basis: base
        country: not said
        year: 2026
        source: wrok
    pay_note: A claim.
    best_fit: Backend.
    gap: Evaluation.
    routes:
      - start: Backend
        time: 3 months
        note: Short.
        source: wrok
    first_steps: Step 1.
    sources: [wrok]
skills:
  python:
    title: Python
    domain: programming
    grade: must
    have: Most of it.
    add: Typing.
    why: Everything is in it.
    sources: []
  vector-search:
    title: Vector search
    domain: data
    grade: must
    have: Indexes.
    add: Embeddings.
    why: Retrieval.
    builds_on: [python]
    sources: [wrok]
projects:
  assistant:
    title: An assistant
    summary: It answers.
    rank: 1
    why: It shows retrieval.
    hours: {low: 10, high: 20}
    skills: [vector-search]
    steps:
      - {title: Collect, text: Documents.}
      - {title: Index, text: Them.}
      - {title: Answer, text: Questions.}
    evidence: [A repository]
    rubric:
      levels: [weak, strong]
      criteria:
        - title: It answers
          levels: [Seldom., Mostly.]
        - title: It is measured
          levels: [No., Yes.]
    sources: [wrok]
plans:
  fortnight:
    title: A fortnight
    summary: Two weeks.
    for_whom: Testers.
    days: 14
    hours_per_week: {low: 4, high: 8}
    hours_note: Evenings.
    steps:
      - id: week-1
        title: Find things
        phase: Start
        days: 7
        hours: 6
        goal: Search by meaning
        outcomes: [search]
        tasks:
          - id: read
            do: Read about vectors
            how: Slowly.
            why: To know.
            hours: 2
            weight: must
            skill: python
            evidence: A note
          - id: build-index
            do: Build an index
            how: By hand first [@wrok].
            why: To see.
            hours: 4
            weight: stretch
            skill: vector-search
            project: assistant
            evidence: A commit
        pitfalls: [Too much.]
        done_when: [It finds.]
        sources: [wrok]
      - id: week-2
        title: Measure things
        phase: End
        days: 7
        hours: 5.5
        goal: Know how good it is
        outcomes: [measure]
        tasks:
          - id: golden-set
            do: Write fifty questions
            how: From real ones.
            why: To compare.
            hours: 5.5
            weight: must
            skill: vector-search
            evidence: The file
        pitfalls: [Too few.]
        done_when: [It is counted.]
    sources: [wrok]
cohort:
  plan: fortnight
  rhythm:
    welcome: {day: -2, at: "09:00", latest_by_hours: 24}
    week_opens: {day: 0, at: "09:00", latest_by_hours: 24}
    nudge: {day: 0, at: "18:00", latest_by_hours: 3}
    week_closes: {day: 1, at: "09:00", latest_by_hours: 24}
    half_time: {day: 0, at: "12:00", latest_by_hours: 24}
    graduation: {day: 2, at: "09:00", latest_by_hours: 48}
    messages_per_member_per_week: 2
  scoring:
    check_in: 10
    must: 5
    stretch: 3
    evidence: 5
    step_cap: 50
    late_percent: 50
    grace_hours: 12
    late_days: 14
    late_keeps_streak: false
    rest_steps: 1
    graduate_percent: 75
  check_in:
    title: Check in {number}
    submit: Send
    tasks: {kind: tasks, label: What is done, hint: Tick it.}
    hours: {kind: hours, label: Hours, hint: About., most: 100}
    evidence: {kind: links, label: Links, hint: To look at., most: 5}
    notes: {kind: prose, label: Notes, hint: What blocked you., longest: 1000}
    confidence: {kind: choice, label: How sure, hint: Feel., options: [Lost, Getting there, Sure]}
  privacy:
    name_on_board: alias
    board_from: 3
    board_rows: 10
    aliases_adjectives: [Able, Bold, Calm, Deft, Eager, Fair, Glad, Hale, Ideal, Jolly, Keen, Lively, Mild,
      Neat, Open, Prompt, Quiet, Rapid, Sunny, Tidy]
    aliases_nouns: [Ant, Bear, Crow, Deer, Elk, Fox, Goat, Hare, Ibis, Jay, Kite, Lark, Mole, Newt, Otter,
      Puma, Quail, Rook, Seal, Toad]
    text: We keep what you send.
voice:
""" + "".join(_voice(Voice, "  ")) + """\
gaps:
  wrok-gap:
    title: What is missing
    text: Less than one fears [@wrok].
    source: wrok
    rows:
      - domain: Languages
        have: [Python]
        add: [Typing, Tests of models]
        skills: [python]
      - domain: Search
        have: [Indexes]
        add: [Embeddings]
stack:
  foundation:
    title: The foundation
    time: 2 weeks
    text: Everything stands on it.
    skills: [python]
    source: wrok
  retrieval-layer:
    title: Retrieval
    time: The source gives none
    text: Find before you write.
    skills: [vector-search]
    source: wrok
signals:
  live-demo:
    title: It runs
    text: Somebody can try it.
    project: assistant
    source: wrok
  numbers:
    title: It is counted
    text: With a baseline.
    source: wrok
reframing:
  on-call:
    before: I was on call
    after: I kept a system honest
    text: Say what broke.
    source: wrok
pay:
  warning: Nobody checked these figures.
  market:
    - text: Demand doubled.
      source: wrok
  stages:
    - stage: Junior
      effect: Little
      source: wrok
search:
  titles: [AI engineer, Applied scientist]
  titles_source: wrok
  employers:
    - title: Start-ups
      text: They want speed.
      source: wrok
  routine:
    - title: Mondays
      text: Write to five people.
      source: wrok
companies:
  acme:
    title: Acme
    why: They ship.
    approach: Fix a bug of theirs.
    caution: They are few.
    source: wrok
ladders:
  researcher:
    title: The researcher
    where: In laboratories.
    asks_for: A doctorate.
    measured_by: Papers
    source: wrok
hired:
  - title: Work that runs
    text: More than a certificate.
    source: wrok
levels:
  - level: Junior
    title: A small search
    shows: That you finish.
    project: assistant
    source: wrok
  - level: Senior
    title: A system
    shows: That you choose.
    source: wrok
opinions:
  - title: Prompt collections
    verdict: overrated
    text: They age.
    source: wrok
  - title: Evaluation
    verdict: underrated
    text: It decides.
    skill: vector-search
    source: wrok
study:
  alone:
    title: Alone
    pros:
      - {title: Cheap, text: It costs hours., source: wrok}
    cons:
      - {title: Lonely, text: Nobody asks., source: wrok}
    reading: Join a cohort.
interviews:
  intro: They differ.
  formats:
    system-talk:
      title: System design
      what: A whiteboard.
      prepare: Draw one a day.
      source: wrok
      questions:
        - id: design-search
          ask: How would you search a million pages?
          good_answer: It begins with who asks.
          skill: vector-search
          source: wrok
        - id: typed-python
          ask: Why types?
          good_answer: They find slips.
          skill: python
  walkthroughs:
    slow-answers:
      title: The answers are slow
      situation: Ten seconds each.
      steps:
        - {title: Measure, text: Where the time goes.}
        - {title: Cache, text: What repeats.}
        - {title: Tell, text: What remains.}
      lesson: Measure first.
contradictions:
  how-long:
    title: How long it takes
    question: Months or years?
    positions:
      - says: Three months.
        source: wrok
      - says: Two years.
        source: wrok
    reading: It depends on where one starts.
faq:
  degree:
    ask: Do I need a degree?
    answer: No [@wrok].
    source: wrok
  age:
    ask: Am I too old?
    answer: No.
quiz:
  intro: Three questions.
  questions:
    - id: liking
      ask: What do you like?
      options:
        - {id: people, label: People, because: people use products, weights: {products: 3}}
        - {id: machines, label: Machines, because: machines are quiet, weights: {products: 0}}
    - id: past
      ask: What did you do?
      options:
        - {id: web, label: The web, because: it is near, weights: {products: 2}}
        - {id: chips, label: Chips, because: it is far, weights: {products: 1}}
    - id: time
      ask: How much time is there?
      options:
        - {id: little, label: Little, because: it is short, weights: {products: 1}}
        - {id: much, label: Much, because: it is long, weights: {products: 1}}
assessment:
  intro: Be honest.
  levels: [Never heard of it, Read of it, Did it, Could teach it]
coverage:
  - {source: wrok, system: The gap table, page: "gaps/#wrok-gap"}
  - {source: wrok, system: The stack, page: "stack/#foundation"}
  - {source: wrok, system: Figures, page: "pay/#market"}
redirects:
  faq/diploma/: "faq/#degree"
  skills/#snakes: "skills/#python"
"""
"""The least that is a guide: one of everything, two steps, every sentence of the voice."""


def edited(*edits: tuple[str, str]) -> str:
    """The small guide with the first occurrence of each text replaced; a text that is not in it is a mistake."""
    text = SMALL
    for old, new in edits:
        assert old in text, f"not in the small guide: {old!r}"
        text = text.replace(old, new, 1)
    return text


def place(text: str, words: str) -> str:
    """Line and column, as in "12:5", of the first occurrence of `words`."""
    start = text.index(words)
    return f"{text.count(chr(10), 0, start) + 1}:{start - text.rfind(chr(10), 0, start)}"
