"""What a reader or a program takes away beside the pages: the guide as JSON, what the modules in the browser read,
`llms.txt`, and a sign at every address that a page once had. Pure, like the pages.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from html import escape
from typing import Any

from content.model import Guide, SkillId
from docs.pages import DOMAINS, GRADES, Page, address, plain, step_path, weeks


def files(guide: Guide, pages: Iterable[Page], site: str = "") -> dict[str, str]:
    """Path → text. `site` is where the site will be, ending in a slash; without it addresses are relative."""
    plans = _plans(guide)
    # A page of one plan asks for that plan alone: all five are a fifth of what a first view may weigh.
    values = {"data/plans.json": plans, **{f"data/plan-{plan}.json": plans[plan] for plan in plans},
              "data/quiz.json": _quiz(guide), "data/skills.json": _skills(guide)}
    return {
        "guide.json": guide.model_dump_json(),
        **{path: json.dumps(value, ensure_ascii=False, separators=(",", ":")) for path, value in values.items()},
        "llms.txt": _llms(guide, pages, site),
        **dict(_signs(guide, site)),
    }


def _plans(guide: Guide) -> dict[str, Any]:
    return {plan_id: {
        "title": plain(plan.title), "summary": plain(plan.summary), "url": f"plans/{plan_id}/", "days": plan.days,
        "hours": sum(step.hours for step in plan.steps), "hours_per_week": plan.hours_per_week.model_dump(),
        "self_paced": plan.self_paced, "unit": weeks(plan)[0].unit,
        "steps": [{
            "id": week.step.id, "number": week.number, "name": week.name, "title": plain(week.step.title),
            "goal": plain(week.step.goal), "phase": plain(week.step.phase), "first_day": week.first_day,
            "days": week.step.days, "hours": week.step.hours, "url": (url := address(step_path(plan_id, week.step.id))),
            "tasks": [{"id": task.id, "do": plain(task.do), "hours": task.hours, "weight": task.weight,
                       "skill": task.skill, "url": f"{url}#{task.id}"} for task in week.step.tasks],
        } for week in weeks(plan)],
    } for plan_id, plan in guide.plans.items()}


def _quiz(guide: Guide) -> dict[str, Any]:
    return {
        "questions": [{
            "id": question.id, "ask": plain(question.ask),
            "options": [{"id": option.id, "label": plain(option.label), "because": plain(option.because),
                         "weights": option.weights} for option in question.options],
        } for question in guide.quiz.questions],
        "tracks": {track_id: {"title": plain(track.title), "summary": plain(track.summary),
                              "url": f"tracks/{track_id}/", "first_steps": plain(track.first_steps)}
                   for track_id, track in guide.tracks.items()},
    }


def _skills(guide: Guide) -> dict[str, Any]:
    practised: dict[SkillId, list[dict[str, Any]]] = {skill_id: [] for skill_id in guide.skills}
    for plan_id, plan in guide.plans.items():
        for week in weeks(plan):
            url = address(step_path(plan_id, week.step.id))
            for task in week.step.tasks:
                practised[task.skill].append({
                    "plan": plan_id, "step": week.step.id, "number": week.number, "task": task.id,
                    "do": plain(task.do), "hours": task.hours, "weight": task.weight, "url": f"{url}#{task.id}"})
    return {
        "levels": [plain(level) for level in guide.assessment.levels], "enough": len(guide.assessment.levels) - 2,
        "domains": DOMAINS, "grades": GRADES,
        "skills": {skill_id: {
            "title": plain(skill.title), "domain": skill.domain, "grade": skill.grade, "have": plain(skill.have),
            "add": plain(skill.add), "url": f"skills/#{skill_id}", "builds_on": list(skill.builds_on),
            "practised": practised[skill_id],
        } for skill_id, skill in guide.skills.items()},
    }


def _llms(guide: Guide, pages: Iterable[Page], site: str) -> str:
    """As https://llmstxt.org asks: a title, a sentence, and lists of links."""
    sections: dict[str, list[str]] = {}
    for page in pages:
        if page.listed and page.path != "index.md":
            name = page.place[0] if page.place else "More"
            sections.setdefault(name, []).append(f"- [{page.title}]({site}{page.address})")
    whole = f"- [The whole guide as JSON]({site}guide.json): every text, id, hour and source behind these pages"
    blocks = [f"# {plain(guide.about.title)}", f"> {plain(guide.about.tagline)}",
              "Figures are claims of the named sources, not facts. Hours are the guide's own estimates.",
              f"## Whole\n\n{whole}", *(f"## {name}\n\n" + "\n".join(links) for name, links in sections.items())]
    return "\n\n".join(blocks) + "\n"


def _signs(guide: Guide, site: str) -> Iterable[tuple[str, str]]:
    """A small page at each whole address that moved; an anchor that moved is told on the page that had it."""
    for old, new in guide.redirects.items():
        if "#" in old:
            continue
        stem = old.strip("/")
        path = stem if stem.endswith(".html") else f"{stem}/index.html"
        target, hash_, anchor = new.strip("/").partition("#")
        target = f"{target.strip('/')}/" if target.strip("/") else "./"
        to = posixpath.relpath(target, posixpath.dirname(path) or ".") + "/" + hash_ + anchor
        canonical = f"{site}{target.removeprefix('./')}" if site else to.partition("#")[0]
        yield path, (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Moved</title>\n'
            '<meta name="robots" content="noindex">\n'
            f'<link rel="canonical" href="{escape(canonical)}">\n'
            f'<meta http-equiv="refresh" content="0; url={escape(to)}">\n'
            f'<p>This page has moved: <a href="{escape(to)}">{escape(new)}</a></p>\n</html>\n')
