// A plan with the reader's own dates: the overview's form and rows, a step's dates and progress, the ruler, the home page.

import {calendar} from "./calendar.js";
import {isZone, long, myZone, need, plus, range, schedule} from "./dates.js";
import {ROOT, bar, count, data, el, hidden, link, save, say} from "./page.js";
import {change, isDay, state, today, watch} from "./store.js";
import {done, isBegun, isDone, notice, phases, progress} from "./ticks.js";

const mine = (planId, plan) => state.plans[planId] && schedule(plan, state.plans[planId].start, state.plans[planId].hours);

/** Index of the step to go on with: today's when the plan is dated, and not past; else the first with a must task open. */
export function present(planId, plan) {
  const now = today(), dates = mine(planId, plan);
  const dated = dates ? dates.steps.findIndex(step => step.first <= now && now <= step.last) : -1;
  return dated >= 0 ? dated : plan.steps.findIndex(step => step.tasks.some(task => task.weight === "must" && !isDone(planId, task)));
}

/** Lines that say when the plan ends, and why it takes longer than planned where it does. */
export function ending(plan, {start, hours}) {
  const {end, days} = schedule(plan, start, hours), extra = days - plan.days;
  const most = Math.ceil(need(plan) * 4 - 1e-9) / 4;
  const lines = [el("p", {}, "You end on ", el("strong", {}, long(end)), `, after ${count(days, "day")}.`)];
  if (extra <= 0) lines.push(el("p", {}, `${hours} hours a week are enough: the fullest ${plan.unit.toLowerCase()} needs ${most}. More hours do not shorten the plan.`));
  else {
    const must = schedule(plan, start, hours, true);
    lines.push(el("p", {class: "longer"}, `With ${hours} hours a week the plan takes ${count(extra, "day")} longer than its ${plan.days}, which would end on ${long(plus(start, plan.days - 1))}. Its fullest ${plan.unit.toLowerCase()} needs ${most} hours a week.`));
    if (must.days < days) lines.push(el("p", {}, `With the must tasks alone you would end on ${long(must.end)}, after ${count(must.days, "day")}.`));
  }
  if (plan.self_paced) lines.push(el("p", {}, "This plan has no deadlines: take its dates as a suggestion."));
  return lines;
}

const field = (words, input) => el("label", {class: "field"}, el("span", {}, words), input);

function dates(planId, plan) {
  const kept = () => state.plans[planId];
  const start = el("input", {type: "date", required: true, min: "2020-01-01", max: "2099-12-31"});
  const hours = el("input", {type: "number", required: true, min: .5, max: 100, step: .5, inputmode: "decimal"});
  const set = el("button", {}, "Show my dates"), forget = el("button", {type: "button", class: "quiet", onclick: () => {
    change(now => { delete now.plans[planId]; });
    say("Dates forgotten.");
  }}, "Forget the dates");
  const out = el("div", {class: "out"}), tools = export_(planId, plan);
  const form = el("form", {class: "dates", id: "my-dates", novalidate: true, onsubmit: event => {
    event.preventDefault();
    const wrong = !isDay(start.value) ? [start, "Give a day to start on, such as 2027-01-04."]
      : !(hours.value >= .5 && hours.value <= 100) ? [hours, "Give the hours a week as a number from 0.5 to 100."] : null;
    if (wrong) { out.replaceChildren(el("p", {class: "trouble"}, wrong[1])); say(wrong[1]); wrong[0].focus(); return; }
    change(now => { now.plans[planId] = {...now.plans[planId], start: start.value, hours: Number(hours.value)}; });
    say([...out.children].map(line => line.textContent).join(" "));
  }}, field("I start on", start), field("Hours a week I have", hours), set, forget);
  watch(form, () => {
    const now = kept();
    start.value = now?.start ?? (isDay(start.value) ? start.value : today());
    hours.value = now?.hours ?? (hours.value || plan.hours_per_week.high);
    forget.hidden = tools.hidden = !now;
    set.textContent = now ? "Change my dates" : "Show my dates";
    out.replaceChildren(...now ? ending(plan, now) : []);
  });
  return [form, out, tools];
}

function export_(planId, plan) {
  const zones = el("datalist", {id: `zones-${planId}`}, (Intl.supportedValuesOf?.("timeZone") ?? []).map(zone => el("option", {value: zone})));
  const kind = (value, words, checked) => el("label", {}, el("input", {type: "radio", name: `kind-${planId}`, value, checked}), ` ${words}`);
  const at = el("input", {type: "time", required: true, value: "09:00"});
  const zone = el("input", {list: zones.id, value: myZone(), spellcheck: "false", autocomplete: "off"});
  const timed = el("div", {class: "fields", hidden: true}, field("At", at), field("Time zone", zone));
  const wrong = el("p", {class: "trouble", hidden: true, role: "alert"});
  const form = el("form", {class: "dates", novalidate: true,
    onchange: () => { timed.hidden = form.elements[`kind-${planId}`].value !== "timed"; },
    onsubmit: event => {
      event.preventDefault();
      const reminder = timed.hidden ? null : {at: at.value, zone: zone.value.trim()};
      wrong.textContent = !reminder ? "" : !reminder.at ? "Give a time, such as 09:00."
        : isZone(reminder.zone) ? "" : `There is no time zone “${reminder.zone}”. Write one like Europe/Berlin.`;
      wrong.hidden = !wrong.textContent;
      if (!wrong.hidden) return;
      if (reminder) change(now => { Object.assign(now.plans[planId], reminder); });
      const {start} = state.plans[planId];
      save(`${planId}-${start}.ics`, "text/calendar;charset=utf-8",
           calendar(planId, plan, start, mine(planId, plan).steps, reminder, ROOT, Date.now()));
      say("Calendar file saved.");
    }},
  el("fieldset", {}, el("legend", {class: "unseen"}, "Kind of event"), kind("days", `whole days for each ${plan.unit.toLowerCase()}`, true), kind("timed", "a reminder on its first day")),
  timed, zones, wrong, el("button", {}, "Save the .ics file"));
  const kept = state.plans[planId];
  if (kept?.at) at.value = kept.at;
  if (kept?.zone) zone.value = kept.zone;
  return el("details", {class: "more"}, el("summary", {}, "Put it in your calendar"), form,
            el("p", {class: "fine"}, "Open the file with your calendar. Each event keeps its identity: save it again after a change of hours, and the events move instead of doubling."));
}

/** Where to go on. */
export const lead = (planId, plan) => {
  const step = plan.steps[present(planId, plan)];
  return step ? el("p", {class: "go"}, link(step.url, `Go on with ${step.name.toLowerCase()}: ${step.title}`))
    : el("p", {class: "go"}, "Every must task of this plan is done.");
};

/** Progress of a plan, whole and by phase. */
export const standing = (planId, plan) => el("div", {class: "bars"}, progress("The whole plan", planId, plan.steps),
  phases(plan).length > 1 && phases(plan).map(([phase, steps]) => progress(phase, planId, steps)));

export async function mountPlan(host) {
  const planId = host.dataset.plan, plan = await data(`plan-${planId}`);
  const bars = el("div");
  host.append(el("section", {class: "personal", "aria-label": "Your dates and progress"}, notice(),
                 el("h2", {id: "your-dates"}, "Your dates"), dates(planId, plan), bars));
  const rows = [...document.querySelectorAll(`.row[data-plan="${planId}"]`)].map(mark => {
    const cell = el("span", {class: "yours"});
    mark.closest("tr").cells[1].append(cell);
    return [mark, cell];
  });
  watch(host, () => {
    bars.replaceChildren(...isBegun(planId, plan) ? [standing(planId, plan), lead(planId, plan)] : []);
    const when = mine(planId, plan), now = today();
    for (const [mark, cell] of rows) {
      const index = mark.dataset.number - 1, step = plan.steps[index], {first, last} = when?.steps[index] ?? {};
      const ticked = done(planId, step.tasks);
      cell.textContent = [first && range(first, last), (when || ticked > 0) && `${ticked} of ${step.tasks.length} done`].filter(Boolean).join(" · ");
      mark.closest("tr").classList.toggle("now", Boolean(first && first <= now && now <= last));
    }
  });
}

export async function mountStep(host) {
  const {plan: planId, step: stepId} = host.dataset;
  // From the page itself, so that progress shows even where the plan's data cannot be had.
  const tasks = [...document.querySelectorAll(".task[data-task]")].map(({dataset}) => ({
    id: dataset.task.split("/")[1], hours: Number(dataset.hours), weight: dataset.weight}));
  const out = el("div"), when = el("p", {class: "when"});
  host.append(el("section", {class: "personal step", "aria-label": "Your progress"}, notice(), out, when));
  watch(host, () => {
    const ticked = done(planId, tasks), must = tasks.filter(task => task.weight === "must");
    const left = tasks.reduce((sum, task) => sum + (isDone(planId, task) ? 0 : task.hours), 0);
    out.replaceChildren(bar("Your tasks", ticked, tasks.length, ticked === tasks.length ? "all done" : `${ticked} of ${tasks.length} done`),
      el("p", {class: "fine"}, left === 0 ? "Nothing left here." : done(planId, must) === must.length ? `The must tasks are done; ${left} h would stretch you further.` : `About ${left} h left.`));
  });
  const plan = await data(`plan-${planId}`), index = plan.steps.findIndex(step => step.id === stepId);
  watch(host, () => {
    const dates = mine(planId, plan)?.steps[index], now = today();
    const place = dates && (now < dates.first ? "" : now > dates.last ? ", over" : ", now");
    when.replaceChildren(...dates ? ["Your dates: ", el("strong", {}, range(dates.first, dates.last)), `${place}. `, link(`${plan.url}#your-dates`, "Change")]
      : [link(`${plan.url}#your-dates`, "Give the plan your own dates")]);
  });
}

export async function mountRuler(ruler) {
  const planId = ruler.dataset.plan, plan = await data(`plan-${planId}`);
  [...ruler.querySelectorAll("a, strong")].forEach((mark, index) => {
    const {tasks} = plan.steps[index], said = hidden("");
    mark.append(said);
    watch(mark, () => {
      const ticked = done(planId, tasks);
      mark.style.setProperty("--done", ticked / tasks.length);
      said.textContent = ticked ? `, ${ticked === tasks.length ? "done" : `${ticked} of ${tasks.length} done`}` : "";
    });
  });
}

export async function mountHome(host) {
  watch(host, async () => {
    // Nothing is fetched for a reader who has begun nothing. A plan may be gone from the guide since.
    const ids = [...new Set([...Object.keys(state.plans), ...Object.keys(state.done).map(key => key.split("/")[0])])];
    const plans = await Promise.all(ids.map(id => data(`plan-${id}`).then(plan => [id, plan], () => null)));
    const begun = plans.filter(each => each && isBegun(...each));
    host.replaceChildren(...begun.map(([id, plan]) => el("section", {class: "personal", "aria-label": "Where you are"}, progress(link(plan.url, plan.title), id, plan.steps), lead(id, plan))));
  });
}
