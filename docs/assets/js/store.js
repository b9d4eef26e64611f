// What this browser remembers of its reader: one versioned JSON document in localStorage, keyed by the guide's ids, so
// that no edit of a text loses a tick. Nothing here throws when storage is blocked, full or holds rubbish; `trouble`
// says it in words.

const KEY = "ninety";
const ASIDE = "ninety.aside";       // what could not be read, kept as it was
const VERSION = 1;
const MOST = 5000;                  // entries of a kind
export const LARGEST = 1_000_000;   // characters of an imported file
const ID = "[a-z0-9]{1,60}(?:-[a-z0-9]{1,60}){0,29}";
const id = new RegExp(`^${ID}$`);
const task = new RegExp(`^${ID}/${ID}$`);

export const today = () => {
  const now = new Date();
  return new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate())).toISOString().slice(0, 10);
};
export const isDay = text => /^20\d\d-\d\d-\d\d$/.test(text) && new Date(text).toJSON()?.slice(0, 10) === text;

function dated(value) {
  if (!isDay(value?.start) || !(value.hours >= .5 && value.hours <= 100)) return undefined;
  const kept = {start: value.start, hours: value.hours};
  if (/^([01]\d|2[0-3]):[0-5]\d$/.test(value.at)) kept.at = value.at;
  if (/^[A-Za-z0-9_+/-]{1,60}$/.test(value.zone)) kept.zone = value.zone;
  return kept;
}

// kind → (what its keys look like, value → what is kept of it, or undefined)
const KINDS = {
  done: [task, day => isDay(day) ? day : undefined],                    // "plan/task" → the day it was ticked
  quiz: [id, option => id.test(option) ? option : undefined],           // question → option
  levels: [id, level => Number.isInteger(level) && level >= 0 && level < 10 ? level : undefined],   // skill → level
  plans: [id, dated],                                                   // plan → start, hours a week, reminder
};

const bare = () => Object.create(null);     // an id may be "constructor"
const empty = () => ({ninety: VERSION, done: bare(), quiz: bare(), levels: bare(), plans: bare(), offline: true});

/** A document from its text. Throws Error with words for the reader; `left` counts entries that were not understood. */
export function parsed(text) {
  if (text.length > LARGEST) throw new Error("This file is far too large to be one of ours.");
  let read;
  try { read = JSON.parse(text); } catch { throw new Error("This is not a file that was saved here: it is not JSON."); }
  if (!Number.isInteger(read?.ninety) || read.ninety < 1) throw new Error("This file comes from somewhere else.");
  if (read.ninety > VERSION) {
    throw Object.assign(new Error("This was saved by a newer version of this site. Reload the page, then try again."), {newer: true});
  }
  const state = empty();
  let left = 0;
  for (const [kind, [fits, kept]] of Object.entries(KINDS)) {
    const given = read[kind] ?? {};
    if (typeof given !== "object" || Array.isArray(given)) { left++; continue; }
    for (const [key, value] of Object.entries(given)) {
      const good = fits.test(key) && Object.keys(state[kind]).length < MOST ? kept(value) : undefined;
      if (good === undefined) left++; else state[kind][key] = good;
    }
  }
  state.offline = read.offline !== false;
  return {state, left};
}

/** Both together; where both say something, `mine` stays. */
export function merged(mine, theirs) {
  const both = {...mine};
  for (const kind of Object.keys(KINDS)) both[kind] = Object.assign(bare(), theirs[kind], mine[kind]);
  return both;
}

/** What the reader must know: `{kind, words}`, kind one of blocked, full, newer, aside; null when all is well. */
export let trouble = null;
export let state = empty();
let unsaved = false;                // what is here is ahead of what is stored
let frozen = false;                 // what is stored must not be written over
const watchers = new Set();

function load() {
  let text;
  try { text = localStorage.getItem(KEY); } catch {
    trouble = {kind: "blocked", words: "This browser does not let the site remember anything. What you tick is forgotten when you leave the page."};
    return;
  }
  if (unsaved || frozen) return;
  trouble = aside() ? {kind: "aside", words: "What this browser had kept for the site could not be read in full. The original is set aside, not deleted; my plan can save it as a file."} : null;
  if (text === null) { state = empty(); return; }
  try {
    const {state: found, left} = parsed(text);
    state = found;
    if (left) setAside(text);
  } catch (error) {
    state = empty();
    frozen = Boolean(error.newer);
    if (frozen) trouble = {kind: "newer", words: "A newer version of this site has saved your progress here. Reload the page to see it; until then nothing is saved."};
    else setAside(text);
  }
}

/** What could not be read, or null. */
export function aside() {
  try { return localStorage.getItem(ASIDE); } catch { return null; }
}

function setAside(text) {
  const before = aside();
  try {
    if (!before?.includes(text)) localStorage.setItem(ASIDE, before ? `${before}\n${text}` : text);
    localStorage.setItem(KEY, JSON.stringify(state));
    trouble = null;
    load();
  } catch {
    frozen = true;
    full();
  }
}

function full() {
  unsaved = true;
  trouble = {kind: "full", words: "This could not be saved: the browser's storage for this site is full. Until you leave this page nothing is lost; save it as a file in my plan."};
}

export function change(how) {
  load();       // another tab may have written since
  how(state);
  if (!frozen) {
    try {
      localStorage.setItem(KEY, JSON.stringify(state));
      unsaved = false;
      if (trouble?.kind === "full") trouble = null;
    } catch { if (trouble?.kind !== "blocked") full(); }
  }
  tell();
}

export const replace = next => change(now => Object.assign(now, next));

/** Everything gone, also what was set aside. */
export function reset() {
  unsaved = frozen = false;
  try { localStorage.removeItem(KEY); localStorage.removeItem(ASIDE); } catch { /* blocked: there is nothing */ }
  state = empty();
  load();
  tell();
}

/** Calls `seen` now and at each change, here or in another tab, while `host` is on the page. */
export function watch(host, seen) {
  watchers.add([host, seen]);
  seen();
}

function tell() {
  for (const watcher of watchers) watcher[0].isConnected ? watcher[1]() : watchers.delete(watcher);
}

load();
addEventListener("storage", event => { if (event.key === KEY || event.key === null) { load(); tell(); } });
addEventListener("pageshow", event => { if (event.persisted) { load(); tell(); } });     // no events while put away
