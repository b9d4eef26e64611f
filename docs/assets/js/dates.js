// Days and a plan laid over them. A day is "2026-12-01" and is counted in UTC, so that no clock change can shift it;
// only `instant` knows zones.

const DAY = 86_400_000;

export const plus = (day, days) => new Date(Date.parse(day) + days * DAY).toISOString().slice(0, 10);

const format = options => new Intl.DateTimeFormat("en-GB", {...options, timeZone: "UTC"});
const LONG = format({weekday: "long", day: "numeric", month: "long", year: "numeric"});
const SHORT = format({day: "numeric", month: "long"});

/** "Tuesday, 1 December 2026" */
export const long = day => LONG.format(Date.parse(day));
/** "1–7 December" */
export const range = (first, last) => SHORT.formatRange(Date.parse(first), Date.parse(last));

/** Hours of a step that the reader means to do. */
const load = (step, must) => step.tasks.reduce((sum, task) => sum + (must && task.weight !== "must" ? 0 : task.hours), 0);

/** Hours a week that the fullest step needs. */
export const need = plan => Math.max(...plan.steps.map(step => load(step) * 7 / step.days));

/**
 * The plan from `start` with `hours` a week: {steps: [{first, last}], end, days}.
 * A step takes its own days, or longer where its hours do not fit into them; it never gets shorter. Parts of days add
 * up from step to step, so that rounding lengthens the whole by less than one day.
 */
export function schedule(plan, start, hours, must = false) {
  let ideal = 0, from = 0;
  const steps = plan.steps.map(step => {
    ideal += Math.max(step.days, load(step, must) * 7 / hours);
    const until = Math.ceil(ideal - 1e-9);
    const dates = {first: plus(start, from), last: plus(start, until - 1)};
    from = until;
    return dates;
  });
  return {steps, end: plus(start, from - 1), days: from};
}

/** The zone's wall at an instant, as if it were UTC. */
function wall(at, zone) {
  const part = Object.fromEntries(new Intl.DateTimeFormat("en-US", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  }).formatToParts(at).map(({type, value}) => [type, Number(value)]));
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
}

/** Milliseconds since 1970 of a local time. One that does not exist is the first after the gap, of two the first. */
export function instant(day, time, zone) {
  const wanted = Date.parse(`${day}T${time}Z`);
  const early = wanted - (wall(wanted - DAY, zone) - (wanted - DAY)), late = wanted - (wall(wanted + DAY, zone) - (wanted + DAY));
  for (const at of [early, late].sort((a, b) => a - b)) if (wall(at, zone) === wanted) return at;
  let before = Math.min(early, late), after = Math.max(early, late);
  while (after - before > 1000) {
    const middle = before + Math.floor((after - before) / 2000) * 1000;
    if (wall(middle, zone) < wanted) before = middle; else after = middle;
  }
  return after;
}

export const isZone = zone => {
  try { return Boolean(new Intl.DateTimeFormat("en", {timeZone: zone})); } catch { return false; }
};
export const myZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
