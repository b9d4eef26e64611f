// The room: who is acting, what is shown, and what is sent.

import { Problem, look, requestId, send } from "./api.js";
import * as composer from "./composer.js";
import * as form from "./form.js";
import { Stream } from "./live.js";
import { Conversation } from "./posts.js";
import * as timebar from "./timebar.js";
import * as times from "./times.js";

const at = (id) => document.getElementById(id);
const line = at("line");
const PAGE = 100;  // posts that the server gives at once

let room = null;
let place = "room";
let stream = null;
let people = new Map();
const unread = { room: 0, direct: 0 };
const begun = { room: "", direct: "" };  // what is typed and not sent
const name = (user) => (user === "ninety" ? "Ninety" : people.get(user)?.name ?? user);
const talks = {
  room: new Conversation("room", at("log-room"), name),
  direct: new Conversation("direct", at("log-direct"), name),
};

function announce(words) {
  at("announcer").textContent = words;
}

// --- entering ---------------------------------------------------------------------------------------------------------

async function enter(user) {
  stream?.close();
  let got;
  try {
    got = await look(`room?as=${encodeURIComponent(user)}`);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 404 && user) return enter("");
    at("connection").textContent = "The chat cannot be reached. Trying again …";
    setTimeout(() => enter(user), 2000);
    return;
  }
  room = got;
  people = new Map(room.people.map((person) => [person.user, person]));
  const address = new URL(location.href);
  address.searchParams.set("as", room.you);
  history.replaceState(history.state, "", address);
  times.live(room.zone, room.now);
  drawPeople();
  drawShortcuts();
  composer.offer(room.commands);
  const simulated = people.get(room.you).simulated;
  document.body.classList.toggle("only-looking", simulated);
  at("looking").hidden = !simulated;
  at("looking").textContent = simulated ? `${name(room.you)} acts by themselves. You are looking over their shoulder; to do something, act as somebody else.` : "";
  line.disabled = at("send").disabled = at("slash").disabled = simulated;
  problem("");
  talks.room.fill(room.posts.room, room.posts.room.length === PAGE, "Nothing has been said here yet.");
  talks.direct.fill(room.posts.direct, room.posts.direct.length === PAGE, "Ninety writes here when something concerns you alone: a reminder, or an answer.");
  for (const each of ["room", "direct"]) {
    const read = lastRead(each);
    unread[each] = room.posts[each].filter((post) => post.id > read && post.author !== room.you && !post.private).length;
  }
  timebar.show(room.time);
  at("connection").textContent = "";
  stream = new Stream({ person: room.you, after: room.last, post: arrived, time: timeTold, state: connected });
  const linked = location.hash.match(/^#post-(\d+)$/);
  const target = linked && document.getElementById(`post-${linked[1]}`);
  go(target?.closest("#log-direct") ? "direct" : place);
  if (target) reveal(target);
  else if (linked) announce("The message that the link leads to is not among the last ones here.");
}

function drawPeople() {
  const groups = [["You can act as", (one) => !one.simulated], ["By themselves, to look at", (one) => one.simulated]];
  at("as").replaceChildren(...groups.map(([label, belongs]) => {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const person of room.people.filter(belongs)) {
      group.append(new Option(`${person.name}${person.organiser ? " (organiser)" : ""}`, person.user, false, person.user === room.you));
    }
    return group;
  }).filter((group) => group.children.length));
  at("people").replaceChildren(...groups.map(([label, belongs]) => {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    heading.textContent = label;
    const list = document.createElement("ul");
    list.append(...room.people.filter(belongs).map(inTheRail));
    section.append(heading, list);
    return section;
  }).filter((section) => section.querySelector("li")));
  drawClocks(room.now);
}

function inTheRail(person) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", String(person.user === room.you));
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = person.name;
  button.append(who);
  if (person.organiser) {
    const mark = document.createElement("span");
    mark.className = "kind";
    mark.textContent = "organiser";
    button.append(mark);
  }
  const clock = document.createElement("time");
  clock.dataset.zone = person.zone;
  clock.title = `${times.city(person.zone)} time`;
  button.append(clock);
  button.addEventListener("click", () => actAs(person.user));
  item.append(button);
  return item;
}

function drawClocks(now) {
  for (const clock of at("people").querySelectorAll("time")) {
    clock.dateTime = now;
    clock.textContent = times.short(now, clock.dataset.zone);
  }
}

function drawShortcuts() {
  at("shortcuts").replaceChildren(...room.shortcuts.map(({ label, command }, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.command = command;
    button.textContent = label;
    if (index === 0) button.className = "primary";
    return button;
  }));
}

async function actAs(user) {
  if (user === room?.you) return;
  line.value = begun.room = begun.direct = "";
  history.replaceState(history.state, "", location.pathname + location.search);
  await enter(user);
  announce(`You act as ${name(room.you)} now.`);
}

at("as").addEventListener("change", () => actAs(at("as").value));

// --- the two conversations ------------------------------------------------------------------------------------------

function go(to) {
  const fresh = to !== place || !at("title").textContent;
  begun[place] = line.value;
  place = to;
  if (fresh) line.value = begun[to];
  for (const [each, talk] of Object.entries(talks)) talk.log.hidden = each !== to;
  at("title").textContent = to === "room" ? `# ${room.room}` : "Ninety";
  at("topic").textContent = to === "room" ? "Everybody is here. Answers to your commands are for your eyes only."
    : `Direct messages, between Ninety and ${name(room.you)}`;
  line.placeholder = to === "room" ? "Write to everybody, or / for a command" : "A command, for example checkin";
  if (fresh || !location.hash) talks[to].toEnd();
  read();
}

function read() {
  if (document.hidden) return drawUnread();
  unread[place] = 0;
  const last = talks[place].last();
  if (last) localStorage.setItem(`ninety:read:${room.you}:${place}`, String(last));
  drawUnread();
}

function lastRead(each) {
  const kept = localStorage.getItem(`ninety:read:${room.you}:${each}`);
  const isOfNow = kept !== null && Number(kept) <= room.last;
  return isOfNow ? Number(kept) : each === "room" ? Infinity : 0;
}

function drawUnread() {
  for (const button of at("places").querySelectorAll("[data-place]")) {
    const each = button.dataset.place;
    const mark = button.querySelector(".unread");
    mark.hidden = !unread[each];
    mark.textContent = String(unread[each]);
    mark.setAttribute("aria-label", `, ${unread[each]} unread`);
    if (each === place) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  const all = unread.room + unread.direct;
  document.title = `${all ? `(${all}) ` : ""}${place === "room" ? `#${room.room}` : "Direct messages"} · Ninety`;
}

at("places").addEventListener("click", (event) => {
  const button = event.target.closest("[data-place]");
  if (!button || !room) return;
  go(button.dataset.place);
  problem("");
});
document.addEventListener("visibilitychange", () => room && read());

function reveal(article) {
  go(article.closest("#log-direct") ? "direct" : "room");
  article.scrollIntoView({ block: "start" });
  article.focus({ preventScroll: true });
}

window.addEventListener("hashchange", () => {
  const article = location.hash.startsWith("#post-") && document.getElementById(location.hash.slice(1));
  if (article) reveal(article);
});

// --- what arrives -----------------------------------------------------------------------------------------------------

function arrived(post) {
  const talk = talks[post.place];
  const wasAtEnd = talk.isAtEnd();
  if (!talk.add(post)) return;
  const shown = post.place === place && !document.hidden;
  if (post.author !== room.you && !shown) unread[post.place] += 1;
  if (post.place === place) {
    if (wasAtEnd) talk.toEnd();
    else if (post.author !== room.you) at("newer").hidden = false;
    if (shown) read();
  } else if (post.place === "direct") announce("A direct message from Ninety.");
  drawUnread();
}

function timeTold({ run, now, zone, time }) {
  if (run !== room.run) return enter(room.you);  // the server was started anew, perhaps with another history
  const moved = zone !== room.zone;
  Object.assign(room, { now, zone });
  times.live(zone, now);
  timebar.show(time);
  drawClocks(now);
  if (moved) for (const talk of Object.values(talks)) talk.redress();
}

function connected(is) {
  at("connection").textContent = is ? "" : "Not connected. Trying again …";
}

for (const talk of Object.values(talks)) {
  let atEnd = true;
  talk.log.addEventListener("scroll", () => {
    atEnd = talk.isAtEnd();
    if (atEnd) at("newer").hidden = true;
  }, { passive: true });
  // A phone's keyboard takes half of the room; the last words stay in sight.
  new ResizeObserver(() => atEnd && talk.toEnd()).observe(talk.log);
  talk.more.addEventListener("click", async () => {
    const first = talk.posts.get(talk.first());
    const { posts } = await look(`posts?as=${encodeURIComponent(room.you)}&place=${talk.place}&before=${talk.first()}`);
    talk.log.setAttribute("aria-busy", "true");
    const height = talk.log.scrollHeight - talk.log.scrollTop;
    for (const post of posts) talk.add(post);
    talk.log.scrollTop = talk.log.scrollHeight - height;
    talk.log.removeAttribute("aria-busy");
    talk.more.hidden = posts.length < PAGE;
    first?.focus({ preventScroll: true });
  });
}
at("newer").addEventListener("click", () => {
  talks[place].toEnd();
  at("newer").hidden = true;
  line.focus();
});

// --- what is sent -----------------------------------------------------------------------------------------------------

function problem(words) {
  at("composer-problem").textContent = words;
}

line.addEventListener("input", () => problem(""));

function waits(words) {
  at("connection").textContent = words;
}

let sending = false;
let retry = null;  // { what, request }: the same text sent again after a failure is the same message

async function perform(what, ask) {
  if (sending || form.isOpen()) return false;
  sending = true;
  document.body.classList.add("sending");
  problem("");
  const request = retry?.what === what ? retry.request : requestId();
  retry = { what, request };
  try {
    await ask(request, () => waits(room.waiting));
    retry = null;
    return true;
  } catch (wrong) {
    if (!(wrong instanceof Problem)) throw wrong;
    problem(wrong.message);
    return false;
  } finally {
    sending = false;
    if (at("connection").textContent === room.waiting) waits("");
    document.body.classList.remove("sending");
  }
}

function command(typed, from) {
  const [person, where] = [room.you, place];
  return perform(`${person} ${where} ${typed}`, async (request, wait) => {
    const answer = await send("command", { as: person, place: where, request, line: typed }, wait);
    if (answer.form) await form.show(person, where, answer.form, room.waiting, (post) => answered(person, post));
    else answered(person, answer.post, from);
  });
}

// Whoever asked by pressing a button is led to the answer; whoever types goes on typing.
function answered(person, post, from) {
  if (person !== room.you) return;
  talks[post.place].add(post);
  if (post.place !== place) return drawUnread();
  talks[place].toEnd();
  read();
  const article = talks[place].posts.get(post.id);
  if (article.offsetHeight > talks[place].log.clientHeight) article.scrollIntoView({ block: "start" });
  if (from !== line) setTimeout(() => article.focus({ preventScroll: true }));
}

at("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = line.value;
  if (!text.trim() || !room) return;
  const [person, where] = [room.you, place];
  const isCommand = text.trimStart().startsWith("/") || where === "direct";
  const done = isCommand ? await command(text, line) : await perform(`${person} say ${text}`, async (request, wait) => {
    const { post } = await send("say", { as: person, request, text }, wait);
    talks.room.add(post);
    talks.room.toEnd();
    read();
  });
  if (done && line.value === text) line.value = "";
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-command]");
  if (!button || !room || document.body.classList.contains("only-looking")) return;
  command(`/${button.dataset.command} ${button.dataset.argument ?? ""}`.trim(), button);
});

timebar.start(announce);
enter(new URLSearchParams(location.search).get("as") ?? "");
