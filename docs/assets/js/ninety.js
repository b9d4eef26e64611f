// What the pages of the guide can do for one reader, in this browser alone. The pages work without it.

import {keepVisited} from "./offline.js";
import {mountHome, mountPlan, mountRuler, mountStep} from "./plan.js";
import {el} from "./page.js";
import {mountTasks} from "./ticks.js";

const WIDGETS = {
  home: mountHome,
  plan: mountPlan,
  step: mountStep,
  quiz: async host => (await import("./quiz.js")).mountQuiz(host),
  assessment: async host => (await import("./assessment.js")).mountAssessment(host),
  dashboard: async host => (await import("./dashboard.js")).mountDashboard(host),
};

async function mount(host, widget) {
  if (host.classList.contains("live")) return;
  host.classList.add("live");
  try { await widget(host); } catch (error) {
    console.warn(error);
    host.append(el("p", {class: "trouble"}, "This part of the page could not be loaded. Reload the page when you are online."));
  }
}

function mountAll() {
  mountTasks();
  for (const host of document.querySelectorAll("[data-ninety]")) if (WIDGETS[host.dataset.ninety]) mount(host, WIDGETS[host.dataset.ninety]);
  for (const ruler of document.querySelectorAll(".ruler[data-plan]:not(.live)")) {
    ruler.classList.add("live");
    mountRuler(ruler).catch(console.warn);
  }
}

// Material tells of each page it swaps in (navigation.instant), and of the first one at once.
if (window.document$) window.document$.subscribe(mountAll); else mountAll();
keepVisited();
