// My plan: what is begun, what comes next, progress by plan, phase and skill, and the reader's own data as a file.

import {gaps} from "./assessment.js";
import {long} from "./dates.js";
import {bar, count, data, el, instead, link, save} from "./page.js";
import {forgetPages, keepEverything, works} from "./offline.js";
import {ending, lead, present, standing} from "./plan.js";
import {answered, result, verdict} from "./quiz.js";
import {LARGEST, aside, change, merged, parsed, replace, reset, state, today, trouble, watch} from "./store.js";
import {box, isBegun, isDone, notice, tasksOf} from "./ticks.js";

const openHere = details => el("details", {class: "more"}, ...details);

function plan(planId, plan, skills) {
  const dates = state.plans[planId], step = plan.steps[present(planId, plan)];
  const open = step ? step.tasks.filter(task => !isDone(planId, task)) : [];
  const bySkill = new Map();
  for (const task of tasksOf(plan.steps)) bySkill.set(task.skill, [...(bySkill.get(task.skill) ?? []), task]);
  return el("section", {"aria-label": plan.title}, el("h2", {id: planId}, link(plan.url, plan.title)),
    dates ? [el("p", {class: "fine"}, `${dates.start > today() ? "Begins" : "Begun"} on ${long(dates.start)}, ${dates.hours} hours a week.`), ending(plan, dates)[0]]
      : el("p", {}, link(`${plan.url}#your-dates`, "Give it your dates")),
    lead(planId, plan),
    open.length > 0 && el("ul", {class: "next"}, open.map(task => el("li", {}, box(`${planId}/${task.id}`, task.do), el("span", {}, link(task.url, task.do), ` ${task.hours} h${task.weight === "must" ? "" : ", stretch"}`)))),
    standing(planId, plan),
    openHere([el("summary", {}, "By skill"), el("div", {class: "bars"}, [...bySkill].map(([skill, tasks]) =>
      bar(skills[skill]?.title ?? skill, tasks.filter(task => isDone(planId, task)).length, tasks.length)))]));
}

function yours() {
  const told = el("p", {class: "told", role: "status"});
  const tell = words => { told.textContent = words; };
  const file = el("input", {type: "file", accept: ".json,application/json", id: "import-file"});
  const how = (value, words, checked) => el("label", {}, el("input", {type: "radio", name: "how", value, checked}), ` ${words}`);
  const kept = el("input", {type: "checkbox", onchange: async () => {
    change(now => { now.offline = kept.checked; });
    if (!kept.checked) await forgetPages();
    tell(kept.checked ? "From now on, pages that you visit can be read offline." : "Nothing is kept for offline reading any more.");
  }});
  const everything = el("button", {type: "button", class: "quiet", onclick: async () => {
    tell("Keeping…");
    try { tell(`${count(await keepEverything(), "page")} kept; search works offline too.`); } catch { tell("That did not work. Are you online?"); }
  }}, "Keep the whole guide");
  watch(everything, () => { kept.checked = state.offline; everything.hidden = !works() || !state.offline; });
  const form = el("form", {class: "dates", onsubmit: async event => {
    event.preventDefault();
    const [chosen] = file.files;
    if (!chosen) { tell("Choose a file first."); file.focus(); return; }
    try {
      if (chosen.size > LARGEST * 4) throw new Error("This file is far too large to be one of ours.");
      const {state: theirs, left} = parsed(await chosen.text());
      replace(form.elements.how.value === "merge" ? merged(state, theirs) : theirs);
      tell(trouble ? trouble.words : `Taken over: ${count(Object.keys(theirs.done).length, "tick")}.${left ? ` ${count(left, "entry").replace("entrys", "entries")} of the file could not be understood and stayed out.` : ""}`);
      form.reset();
    } catch (error) { tell(`${error.message} Nothing was changed.`); }
  }}, el("label", {class: "field"}, el("span", {}, "A file saved here"), file),
  el("fieldset", {}, el("legend", {class: "unseen"}, "How to take it over"), how("merge", "add to what is here; where both say something, mine stays", true), how("replace", "replace what is here")),
  el("button", {}, "Take it over"));
  const rest = el("button", {type: "button", class: "quiet", onclick: () => save("ninety-set-aside.txt", "text/plain", aside() ?? "")}, "Save what could not be read");
  watch(rest, () => { rest.hidden = aside() === null; });
  return el("section", {"aria-labelledby": "your-data"}, el("h2", {id: "your-data"}, "Your data"),
    el("p", {}, "All of this is in this browser and nowhere else: no account, nothing sent. Clearing the browser's data deletes it, so save a file now and then, or to move to another device."),
    el("p", {class: "buttons"}, el("button", {type: "button", onclick: () => { save(`ninety-${today()}.json`, "application/json", JSON.stringify({...state, saved: new Date().toISOString()}, null, 1)); tell("Saved as a file."); }}, "Save as a file"), rest,
      el("button", {type: "button", class: "quiet", onclick: () => {
        if (!confirm("Delete all ticks, dates, answers and ratings from this browser? A file that you saved stays.")) return;
        reset();
        tell("Everything is deleted.");
      }}, "Delete everything")),
    openHere([el("summary", {}, "Take over a saved file"), form]), told,
    el("h3", {}, "Offline"), works() ? el("label", {class: "option"}, kept, el("span", {}, "Keep pages that I visit, to read and search them offline")) : el("p", {class: "fine"}, "This browser cannot keep pages here."),
    el("p", {}, everything));
}

export async function mountDashboard(host) {
  const [plans, {skills, ...rest}, quiz] = await Promise.all(["plans", "skills", "quiz"].map(data));
  const main = el("div");
  host.append(el("div", {class: "personal"}, notice(), main, yours()));
  instead("dashboard", {});
  watch(host, () => {
    const focused = document.activeElement?.closest?.(".next") && document.activeElement;
    const begun = Object.entries(plans).filter(([id, plan]) => isBegun(id, plan));
    const found = gaps({skills, ...rest}, state.levels), rated = Object.keys(state.levels).length;
    main.replaceChildren(
      ...begun.length ? begun.map(([id, one]) => plan(id, one, skills)) : [el("p", {}, "You have not begun a plan here. Tick a task of one, or give it a date to start on:"),
        el("ul", {}, Object.values(plans).map(one => el("li", {}, link(one.url, one.title), `, ${one.days} days`)))],
      el("section", {"aria-labelledby": "your-direction"}, el("h2", {id: "your-direction"}, "Your direction"),
        el("p", {}, answered(quiz, state.quiz) ? `${verdict(quiz, result(quiz, state.quiz))} ` : "", link("which-track/#your-track", answered(quiz, state.quiz) ? "Why" : "Which track fits me?")),
        el("p", {}, rated ? `${count(rated, "skill")} rated, ${found.length} with a gap${found.length ? `, the widest ${skills[found[0].id].title}` : ""}. ` : "", link("where-am-i/#your-gap", rated ? "What closes it" : "Where am I?"))));
    // The list is new; the focus stays in it, for a keyboard.
    if (focused && !focused.isConnected) (main.querySelector(".next input") ?? main.querySelector(".go a") ?? main.querySelector("a")).focus();
  });
}
