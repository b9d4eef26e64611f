// A plan as an iCalendar file (RFC 5545): an all-day event for each step, or a timed one with a reminder on its first day.
// docs/calendar_files.py writes the same for a nominal start; the two agree on UIDs.

import {instant, plus} from "./dates.js";

const utf8 = new TextEncoder();

/** At most 75 octets a line, never through the middle of a character. */
export function folded(line) {
  let text = "", octets = 0;
  for (const character of line) {
    const size = utf8.encode(character).length;
    if (octets + size > 75) { text += "\r\n "; octets = 1; }
    text += character;
    octets += size;
  }
  return text;
}

const plain = text => text.replace(/\r\n?/g, "\n").replace(/[\u0000-\u0009\u000b-\u001f\u007f]/g, " ");
const escaped = text => plain(text).replace(/[\\;,]/g, "\\$&").replace(/\n/g, "\\n");
const digits = iso => iso.replace(/[-:]|\.\d+/g, "");
const utc = at => digits(new Date(at).toISOString());

/** `steps` as `schedule` gives them; `reminder` is {at: "09:00", zone} or null; `stamp` is when it was made. */
export function calendar(planId, plan, start, steps, reminder, root, stamp) {
  const lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Ninety//Guide//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH",
                 `X-WR-CALNAME:${escaped(plan.title)}`];
  plan.steps.forEach((step, index) => {
    const {first, last} = steps[index];
    const tasks = step.tasks.map(task => `- ${task.do} (${task.hours} h${task.weight === "must" ? "" : ", stretch"})`);
    const address = new URL(step.url, root).href;
    lines.push("BEGIN:VEVENT", `UID:${planId}.${step.id}.${digits(start)}@ninety`, `DTSTAMP:${utc(stamp)}`);
    if (reminder) {
      const at = instant(first, reminder.at, reminder.zone);
      lines.push(`DTSTART:${utc(at)}`, `DTEND:${utc(at + 1_800_000)}`);
    } else {
      lines.push(`DTSTART;VALUE=DATE:${digits(first)}`, `DTEND;VALUE=DATE:${digits(plus(last, 1))}`);
    }
    lines.push(`SUMMARY:${escaped(`${step.name}: ${step.title}`)}`,
               `DESCRIPTION:${escaped([step.goal, "", ...tasks, "", address].join("\n"))}`, `URL:${plain(address)}`, "TRANSP:TRANSPARENT");
    if (reminder) lines.push("BEGIN:VALARM", "ACTION:DISPLAY", `DESCRIPTION:${escaped(`${step.name} begins`)}`, "TRIGGER:PT0S", "END:VALARM");
    lines.push("END:VEVENT");
  });
  lines.push("END:VCALENDAR", "");
  return lines.map(folded).join("\r\n");
}
