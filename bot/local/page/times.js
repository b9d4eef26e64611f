// Instants in the zone of whoever is acting, 24 hours, year only where it is not the present one.

let here = { zone: "UTC", now: new Date() };

export function live(zone, now) {
  here = { zone, now: new Date(now) };
}

const formats = new Map();

function parts(at, zone) {
  if (!formats.has(zone)) {
    const wanted = { weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    let format;
    try {
      format = new Intl.DateTimeFormat("en-GB", { ...wanted, timeZone: zone });
    } catch {  // a zone that this browser does not know
      format = new Intl.DateTimeFormat("en-GB", { ...wanted, timeZone: "UTC" });
    }
    formats.set(zone, format);
  }
  return Object.fromEntries(formats.get(zone).formatToParts(new Date(at)).map(({ type, value }) => [type, value]));
}

export function day(at, zone = here.zone) {
  const { weekday, day, month, year } = parts(at, zone);
  const present = parts(here.now, zone).year;
  return `${weekday} ${day} ${month}${year === present ? "" : ` ${year}`}`;
}

export function clock(at, zone = here.zone) {
  const { hour, minute } = parts(at, zone);
  return `${hour}:${minute}`;
}

export function full(at, zone = here.zone) {
  return `${day(at, zone)}, ${clock(at, zone)}`;
}

export function dated(at, zone) {
  const { weekday, day, month, year } = parts(at, zone);
  return `${weekday} ${day} ${month} ${year}, ${clock(at, zone)}`;
}

export function short(at, zone = here.zone) {
  return `${parts(at, zone).weekday.slice(0, 3)} ${clock(at, zone)}`;
}

export function city(zone) {
  return zone.split("/").at(-1).replaceAll("_", " ");
}

// A day is the day of its own zone; an instant is the reader's.
export function dress(root) {
  for (const time of root.querySelectorAll("time[data-style]")) {
    const isDay = time.dataset.style === "day";
    const zone = isDay ? time.dataset.zone ?? here.zone : here.zone;
    time.textContent = isDay ? day(time.dateTime, zone) : full(time.dateTime, zone);
    time.title = `${city(zone)} time`;
  }
}
