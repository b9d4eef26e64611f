// Boxes to tick beside tasks, and how much is done.

import {bar, el, hidden, say} from "./page.js";
import {change, state, today, trouble, watch} from "./store.js";

export const isDone = (plan, task) => `${plan}/${task.id ?? task}` in state.done;
export const done = (plan, tasks) => tasks.filter(task => isDone(plan, task)).length;
export const tasksOf = steps => steps.flatMap(step => step.tasks);
/** By phase, in order: [[phase, steps]]. */
export function phases(plan) {
  const found = new Map();
  for (const step of plan.steps) found.set(step.phase, [...(found.get(step.phase) ?? []), step]);
  return [...found];
}
export const isBegun = (planId, plan) => planId in state.plans || done(planId, tasksOf(plan.steps)) > 0;

/** A box for "plan/task" with a name for screen readers. */
export function box(key, words) {
  const input = el("input", {type: "checkbox", onchange: () => {
    change(now => { if (input.checked) now.done[key] = today(); else delete now.done[key]; });
    say(trouble ? trouble.words : input.checked ? `Done: ${words}` : `Not done: ${words}`);
  }});
  const label = el("label", {class: "mark"}, input, hidden(`Done: ${words}`));
  watch(label, () => { input.checked = key in state.done; });
  return label;
}

/** A line that says why something is not remembered; empty while all is well. */
export function notice() {
  const line = el("p", {class: "trouble", role: "alert", hidden: true});
  watch(line, () => { line.hidden = !trouble; if (line.textContent !== (trouble?.words ?? "")) line.textContent = trouble?.words ?? ""; });
  return line;
}

export function mountTasks() {
  for (const task of document.querySelectorAll(".task[data-task]:not(.live)")) {
    const heading = task.querySelector("h3").cloneNode(true);
    heading.querySelectorAll(".headerlink").forEach(mark => mark.remove());
    task.prepend(box(task.dataset.task, heading.textContent.trim()));
    task.classList.add("live");
    watch(task, () => task.classList.toggle("finished", task.dataset.task in state.done));
  }
  for (const tick of document.querySelectorAll(".tick[data-task]:not(.live)")) {
    tick.classList.add("live");
    watch(tick, () => tick.classList.toggle("finished", tick.dataset.task in state.done));
  }
}

export const progress = (label, plan, steps) => {
  const tasks = tasksOf(steps);
  return bar(label, done(plan, tasks), tasks.length);
};
