// Small pieces that the widgets share: elements, addresses, data, bars, and one voice for screen readers.

export const ROOT = new URL("../../", import.meta.url);

/** An element. `on…` attributes are listeners; false, null and undefined are left out. Strings are words, never HTML. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(child => child != null && child !== false));
  return node;
}
export const link = (url, ...words) => el("a", {href: new URL(url, ROOT)}, ...words);
export const hidden = words => el("span", {class: "unseen"}, words);
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const asked = {};
/** A file below `data/`, fetched once. */
export const data = name => asked[name] ??= fetch(new URL(`data/${name}.json`, ROOT)).then(answer => {
  if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
  return answer.json();
}).catch(error => { delete asked[name]; throw error; });

/** `done` of `total` as a labelled bar; `words` instead of "3 of 12" where given. */
export function bar(label, done, total, words = `${done} of ${total}`) {
  return el("div", {class: "bar"}, el("span", {}, label),
            el("progress", {max: total || 1, value: done, "aria-label": label instanceof Node ? label.textContent : label}),
            el("span", {class: "of"}, words));
}

/** Says it to a screen reader, once. */
export function say(words) {
  let voice = document.getElementById("ninety-says");
  if (!voice) document.body.append(voice = el("div", {id: "ninety-says", class: "unseen", role: "status"}));
  voice.textContent = "";
  setTimeout(() => { voice.textContent = words; }, 60);
}

export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], {type}));
  const anchor = el("a", {href: url, download: name, hidden: true});
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Hides what a page says without JavaScript. Its ids pass on to the widget, so that the contents still lead somewhere. */
export function instead(name, ids) {
  const plain = document.querySelector(`[data-ninety="${name}-plain"]`);
  if (!plain) return;
  plain.hidden = true;
  for (const old of plain.querySelectorAll("[id]")) {
    const {id} = old;
    old.removeAttribute("id");
    if (ids[id]) ids[id].id = id;
  }
  const there = ids[decodeURIComponent(location.hash.slice(1))];
  if (there?.id) there.scrollIntoView();
}
