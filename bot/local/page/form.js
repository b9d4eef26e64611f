// A form of the bot in a dialog. What was typed is kept until the server says that it has it: the draft lives in this
// tab, by person, form and what it is about.

import { Problem, requestId, send } from "./api.js";
import * as times from "./times.js";

const dialog = document.getElementById("form");
let left = Promise.resolve();
let open = null;  // { person, place, form, waiting, key, request, done, sending }

history.scrollRestoration = "manual";

export function isOpen() {
  return dialog.open;
}

// `form` as the server gave it; `waiting` is said when it takes long to save, `done(post)` called when it was taken.
export async function show(person, place, form, waiting, done) {
  await left;
  const key = `ninety:draft:${person}:${form.kind}:${form.about}`;
  const draft = JSON.parse(sessionStorage.getItem(key) ?? "null");
  open = { person, place, form, waiting, key, done, request: draft?.request ?? requestId(), sending: false };
  draw(form);
  const fields = dialog.querySelector("form");
  if (draft) {
    restore(fields, draft.answers);
    note("Your draft is back.", "Start over", () => {
      sessionStorage.removeItem(key);
      open.request = requestId();
      draw(form);
      listen();
      dialog.querySelector("h2").focus();
    });
  }
  listen();
  dialog.showModal();
  history.pushState({ form: true }, "");
  dialog.querySelector("h2").focus();
}

function draw(form) {
  dialog.innerHTML = '<header><h2 id="form-title" tabindex="-1"></h2><button type="button" class="quiet close" aria-label="Close; your draft is kept">Close</button></header><div class="body"><p class="note" role="status" hidden></p><div class="problem" role="alert"></div></div>';
  dialog.querySelector("h2").textContent = form.title;
  dialog.querySelector(".body").insertAdjacentHTML("beforeend", form.html);
  times.dress(dialog);
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  for (const field of dialog.querySelectorAll("[data-longest]")) {
    const count = document.createElement("p");
    count.className = "count";
    count.setAttribute("aria-live", "polite");
    field.after(count);
    counted(field);
  }
}

function listen() {
  const fields = dialog.querySelector("form");
  fields.addEventListener("input", (event) => {
    keep();
    if (event.target.dataset.longest) counted(event.target);
    clearError(event.target.closest("[data-field]"));
  });
  fields.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(fields);
  });
  fields.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) fields.requestSubmit();
  });
}

async function submit(fields) {
  if (open.sending) return;
  const sent = open;
  const button = fields.querySelector("button[type=submit]");
  const label = button.textContent;
  let waiting = false;
  sent.sending = true;
  button.setAttribute("aria-disabled", "true");
  button.textContent = "Sending …";
  told("");
  for (const field of fields.querySelectorAll("[data-field]")) clearError(field);
  keep();
  try {
    const answer = await send("submit", {
      as: sent.person, place: sent.place, request: sent.request, kind: sent.form.kind, about: sent.form.about,
      answers: answers(fields),
    }, () => {
      if (open !== sent || !dialog.open) return;
      note(sent.waiting);
      waiting = true;
      dialog.querySelector(".body").scrollTop = 0;
    });
    if (answer.refused) refused(fields, answer.refused);
    else {
      sessionStorage.removeItem(sent.key);
      if (open === sent) dialog.close();
      sent.done(answer.post);
    }
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    told(problem.message);
    dialog.querySelector(".body").scrollTop = 0;
  } finally {
    sent.sending = false;
    if (waiting && open === sent) dialog.querySelector(".note").hidden = true;
    button.removeAttribute("aria-disabled");
    button.textContent = label;
  }
}

function refused(fields, { html, field }) {
  const place = field && fields.querySelector(`[data-field="${CSS.escape(field)}"]`);
  if (!place) {
    dialog.querySelector(".problem").innerHTML = html;
    times.dress(dialog.querySelector(".problem"));
    dialog.querySelector(".body").scrollTop = 0;
    return;
  }
  const error = place.querySelector(".error");
  const words = document.createElement("div");
  words.innerHTML = html;
  times.dress(words);
  error.textContent = words.textContent;
  error.hidden = false;
  const controls = place.querySelectorAll("input, textarea, select");
  for (const control of controls) control.setAttribute("aria-invalid", "true");
  controls[0]?.focus();
  error.scrollIntoView({ block: "nearest" });
}

function clearError(place) {
  const error = place?.querySelector(".error");
  if (!error || error.hidden) return;
  error.hidden = true;
  error.textContent = "";
  for (const control of place.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

function told(words) {
  dialog.querySelector(".problem").textContent = words;
}

function note(words, action, act) {
  const place = dialog.querySelector(".note");
  place.replaceChildren(`${words} `);
  place.hidden = false;
  if (!action) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = action;
  button.addEventListener("click", act);
  place.append(button);
}

function answers(fields) {
  const found = {};
  for (const [name, value] of new FormData(fields)) (found[name] ??= []).push(value);
  return found;
}

function keep() {
  const fields = dialog.querySelector("form");
  try {
    sessionStorage.setItem(open.key, JSON.stringify({ request: open.request, answers: answers(fields) }));
  } catch {  // more than the browser keeps; the form itself still has it
  }
}

function restore(fields, kept) {
  for (const control of fields.elements) {
    if (!control.name) continue;
    const values = kept[control.name] ?? [];
    if (control.type === "checkbox" || control.type === "radio") control.checked = values.includes(control.value);
    else {
      control.value = values[0] ?? "";
      if (control.dataset.longest) counted(control);
    }
  }
}

function counted(field) {
  const most = Number(field.dataset.longest);
  const length = [...field.value].length;
  const number = new Intl.NumberFormat("en-GB");
  const over = length - most;
  field.nextElementSibling.textContent = over > 0
    ? `${number.format(over)} characters too many (${number.format(most)} are the most)`
    : length > most * 0.8 ? `${number.format(length)} of ${number.format(most)} characters` : "";
  field.nextElementSibling.classList.toggle("over", over > 0);
}

// Back closes the dialog, and closing it goes back. That takes a moment, and the next form waits for it.
dialog.addEventListener("close", () => {
  if (!history.state?.form) return;
  left = new Promise((arrived) => {
    window.addEventListener("popstate", arrived, { once: true });
    setTimeout(arrived, 1500);
  });
  history.back();
});
window.addEventListener("popstate", () => {
  if (dialog.open) dialog.close();
});
