// The demo's own time: one step at a time, or played.

import { Problem, send } from "./api.js";
import * as times from "./times.js";

const bar = document.getElementById("time");
const next = document.getElementById("time-next");
const play = document.getElementById("play");
const moves = [...bar.querySelectorAll("[data-go]")];
const PAUSE = 2500;  // milliseconds between two posts while it plays: time to read a title

let outlook = null;
let moving = false;
let playing = false;
let problem = "";
let announce = () => {};
let timer = 0;

export function start(say) {
  announce = say;
}

export function show(told) {
  outlook = told;
  bar.hidden = !told;
  if (told) draw();
}

function draw() {
  const busy = moving || outlook.moving;
  const now = document.getElementById("time-now");
  now.dateTime = outlook.now;
  now.textContent = times.dated(outlook.now, outlook.zone);
  document.getElementById("time-zone").textContent = `${times.city(outlook.zone)} time`;
  next.classList.toggle("bad", Boolean(problem));
  next.textContent = problem || (outlook.ended ? "The cohort is over. Everything it said stays here to read."
    : busy && !playing ? "Time is moving …"
    : outlook.next ? `Next: ${outlook.next}${outlook.nextAt ? `, ${times.full(outlook.nextAt, outlook.zone)}` : ""}`
    : "Nothing more is due.");
  for (const button of moves) button.setAttribute("aria-disabled", String(busy || playing || outlook.ended));
  play.setAttribute("aria-disabled", String(outlook.ended || (busy && !playing)));
  play.textContent = playing ? "Pause" : "Play";
  bar.classList.toggle("moving", busy);
  bar.classList.toggle("ended", outlook.ended);
}

async function move(go) {
  moving = true;
  problem = "";
  draw();
  try {
    outlook = (await send("time", { go }, undefined, 0)).time;
    return true;
  } catch (wrong) {
    if (!(wrong instanceof Problem)) throw wrong;
    if (wrong.status !== 409) problem = wrong.message.replace(/ Your text is still here[^.]*\./, "");
    return wrong.status === 409;  // another tab moves it; that will do
  } finally {
    moving = false;
    draw();
  }
}

for (const button of moves) {
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    if (await move(button.dataset.go)) {
      announce(outlook.ended ? "The cohort is over." : `It is ${times.full(outlook.now, outlook.zone)}.`);
    }
  });
}

play.addEventListener("click", () => {
  if (play.ariaDisabled === "true") return;
  playing = !playing;
  announce(playing ? "Playing." : "Paused.");
  draw();
  clearTimeout(timer);
  if (playing) step();
});

async function step() {
  if (moving) return;  // paused and played again within one move: that move goes on by itself
  const went = await move("post");
  if (!went || outlook.ended) playing = false;
  draw();
  if (playing) timer = setTimeout(step, PAUSE);
}
