// Where am I? One rating per skill; the gap to the level that the plans bring to; and the steps that close it.

import {count, data, el, instead, link, say} from "./page.js";
import {change, state, watch} from "./store.js";
import {notice} from "./ticks.js";

/** [{id, gap}] of the rated skills below enough, widest first; of equal gaps those that every job asks for come first. */
export function gaps({skills, enough, grades}, levels) {
  const order = Object.keys(grades);
  return Object.keys(skills).filter(id => levels[id] < enough).map(id => ({id, gap: enough - levels[id]}))
    .sort((one, other) => other.gap - one.gap || order.indexOf(skills[one.id].grade) - order.indexOf(skills[other.id].grade));
}

/** {plan: [{number, hours, tasks}]}: the steps that practise a skill and have tasks of it left to do. */
export function closing(skill, done) {
  const plans = {};
  for (const task of skill.practised) {
    if (`${task.plan}/${task.task}` in done) continue;
    const steps = plans[task.plan] ??= [];
    let step = steps.find(({number}) => number === task.number);
    if (!step) steps.push(step = {number: task.number, hours: 0, tasks: []});
    step.hours += task.hours;
    step.tasks.push(task);
  }
  return plans;
}

export async function mountAssessment(host) {
  const [all, plans] = await Promise.all([data("skills"), data("plans")]);
  const {skills, levels, enough, domains, grades} = all, top = levels.length - 1, ids = {};
  const rows = Object.entries(domains).map(([domain, title]) => {
    const here = Object.entries(skills).filter(([, skill]) => skill.domain === domain);
    return here.length ? ids[`domain-${domain}`] = el("fieldset", {}, el("legend", {}, title), here.map(([id, skill]) => {
      const choice = el("select", {id: `rate-${id}`, onchange: () => {
        change(now => { if (choice.value) now.levels[id] = Number(choice.value); else delete now.levels[id]; });
        const gap = enough - state.levels[id];
        say(Number.isNaN(gap) ? `${skill.title}: not rated` : gap > 0 ? `${skill.title}: ${count(gap, "level")} to go` : `${skill.title}: enough`);
      }}, el("option", {value: ""}, "Not rated"), levels.map((level, index) => el("option", {value: index}, `${index} · ${level}`)));
      const pips = el("span", {class: "pips", "aria-hidden": "true"}, levels.slice(1).map((_, index) => el("i", {class: index < enough ? "" : "beyond"})));
      const row = ids[`skill-${id}`] = el("div", {class: "rate"}, el("label", {for: choice.id}, skill.title), choice, pips,
        el("details", {}, el("summary", {}, "What it means"), el("p", {}, el("strong", {}, "You may have: "), skill.have), el("p", {}, el("strong", {}, "New: "), skill.add), el("p", {}, link(skill.url, "More"))));
      watch(row, () => {
        const level = state.levels[id];
        choice.value = level === undefined ? "" : Math.min(level, top);
        [...pips.children].forEach((pip, index) => pip.classList.toggle("on", index < level));
      });
      return row;
    })) : [];
  });
  const out = el("section", {class: "out", id: "your-gap", "aria-labelledby": "your-gap-title"});
  host.append(el("div", {class: "personal"}, notice(), el("form", {class: "assessment", onsubmit: event => event.preventDefault()}, rows), out));
  instead("assessment", ids);
  watch(host, () => {
    const found = gaps(all, state.levels), rated = Object.keys(skills).filter(id => id in state.levels).length;
    out.replaceChildren(el("h2", {id: "your-gap-title"}, "Your gap"),
      el("p", {}, !rated ? "Rate a skill, and what closes its gap stands here. Nothing leaves your browser."
        : `${count(rated, "skill")} of ${Object.keys(skills).length} rated, ${found.length ? `${found.length} below “${levels[enough]}”, which the plans bring you to` : `none below “${levels[enough]}”: enough for what the plans teach`}.`),
      ...found.map(({id, gap}) => {
        const close = Object.entries(closing(skills[id], state.done));
        return el("div", {class: "gap"}, el("h3", {}, link(skills[id].url, skills[id].title)),
          el("p", {class: "fine"}, `${grades[skills[id].grade]} · ${levels[Math.min(state.levels[id], top)]} · ${count(gap, "level")} to go`),
          close.length ? el("ul", {}, close.map(([plan, steps]) => el("li", {}, `${plans[plan].title}: `, steps.map(({number, hours, tasks}, index) => [index ? ", " : "",
            link(tasks[0].url, plans[plan].steps[number - 1].name.toLowerCase()), ` (${hours}\u00a0h)`])))) : el("p", {}, skills[id].practised.length ? "Every task that practises it is done." : "No task of our plans practises it."));
      }),
      rated ? el("p", {}, el("button", {type: "button", class: "quiet", onclick: () => { change(now => { for (const id in skills) delete now.levels[id]; }); say("Ratings cleared."); }}, "Clear my ratings")) : "");
  });
}
