// Which track fits me? The answers add up to a total per track, and every point says where it comes from.

import {bar, count, data, el, instead, link, say} from "./page.js";
import {change, state, watch} from "./store.js";
import {notice} from "./ticks.js";

/** [{id, total, most, reasons: [{option, weight}]}], best first; answers that the guide no longer knows are left out. */
export function result({questions, tracks}, answers) {
  return Object.keys(tracks).map(id => {
    const given = questions.map(question => question.options.find(option => option.id === answers[question.id]));
    const reasons = given.filter(option => option?.weights[id]).map(option => ({option, weight: option.weights[id]}));
    return {id, reasons, total: reasons.reduce((sum, {weight}) => sum + weight, 0),
            most: questions.reduce((sum, {options}) => sum + Math.max(...options.map(option => option.weights[id] ?? 0)), 0)};
  }).sort((one, other) => other.total - one.total);
}

/** The answer in a sentence; ties are called ties. */
export function verdict(quiz, ranked) {
  const best = ranked.filter(track => track.total > 0 && track.total === ranked[0].total).map(({id}) => quiz.tracks[id].title);
  if (!best.length) return "Nothing that you answered speaks for one track more than another.";
  if (best.length === 1) return `${best[0]} fits you best, by your answers.`;
  return `A tie, with ${count(ranked[0].total, "point")} each: ${best.slice(0, -1).join(", ")} and ${best.at(-1)}. The questions cannot tell them apart; read what each of them builds.`;
}

export const answered = (quiz, answers) => quiz.questions.filter(({id, options}) => options.some(option => option.id === answers[id])).length;

export async function mountQuiz(host) {
  const quiz = await data("quiz"), out = el("section", {class: "out", id: "your-track", "aria-labelledby": "your-track-title"});
  const fields = quiz.questions.map((question, index) => {
    const options = question.options.map(option => el("label", {class: "option"}, el("input", {type: "radio", name: question.id, value: option.id, onchange: () => {
      change(now => { now.quiz[question.id] = option.id; });
      say(`${answered(quiz, state.quiz)} of ${quiz.questions.length} answered. ${verdict(quiz, result(quiz, state.quiz))}`);
    }}), el("span", {}, option.label)));
    return el("fieldset", {}, el("legend", {}, `${index + 1}. ${question.ask}`), options);
  });
  const form = el("form", {class: "quiz", onsubmit: event => event.preventDefault()}, fields);
  host.append(el("div", {class: "personal"}, notice(), form, out));
  instead("quiz", Object.fromEntries(quiz.questions.map(({id}, index) => [id, fields[index]])));
  watch(host, () => {
    for (const input of form.querySelectorAll("input")) input.checked = state.quiz[input.name] === input.value;
    const ranked = result(quiz, state.quiz), given = answered(quiz, state.quiz);
    if (!given) { out.replaceChildren(el("h2", {id: "your-track-title"}, "Your track"), el("p", {}, "Answer a question, and this adds up. Nothing leaves your browser.")); return; }
    const best = ranked[0].total;
    out.replaceChildren(el("h2", {id: "your-track-title"}, "Your track"), el("p", {class: "verdict"}, verdict(quiz, ranked)),
      given < quiz.questions.length ? el("p", {class: "fine"}, `So far: ${given} of ${quiz.questions.length} questions answered.`) : "",
      ...ranked.map(({id, total, most, reasons}) => {
        const track = quiz.tracks[id], chosen = best > 0 && total === best;
        const why = reasons.map(({option, weight}) => el("li", {}, el("strong", {}, `+${weight} `), `“${option.label}” speaks for it, because ${option.because}`));
        return el("div", {class: `track${chosen ? " best" : ""}`}, bar(link(track.url, track.title), total, most, `${total} of ${most}`),
          chosen && el("p", {class: "fine"}, track.summary),
          why.length > 0 && el("details", {open: chosen}, el("summary", {}, chosen ? "Why" : `Why ${total}`), el("ul", {}, why)),
          chosen && track.first_steps && el("p", {}, el("strong", {}, "In our plan: "), track.first_steps));
      }),
      el("p", {}, el("button", {type: "button", class: "quiet", onclick: () => { change(now => { for (const {id} of quiz.questions) delete now.quiz[id]; }); say("Answers cleared."); form.querySelector("input").focus(); }}, "Clear my answers")));
  });
}
