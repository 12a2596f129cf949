/** Times: what people type, what the archive wants, and what is shown. Moments are milliseconds since 1970, as numbers. */

const UNITS = { s: 1e3, sec: 1e3, min: 6e4, m: 6e4, h: 36e5, d: 864e5, w: 6048e5, y: 31557600e3 };
const FIRST = Date.UTC(1970, 0, 1);
const LAST = Date.UTC(2262, 0, 1);

/** Something that cannot be read as a time; the message says so to people. */
export class TimeError extends Error {}

/**
 * The window of two texts, `from` and `to`.
 * @param {string} from @param {string} to @param {number} now @param {boolean} utc whether a text without a zone is UTC
 * @returns {{from: number, to: number}}
 */
export function readWindow(from, to, now, utc) {
  const end = readMoment(to, now, utc, "to");
  const relative = /^\s*-/.test(from);
  const start = relative ? readMoment(from, end, utc, "from") : readMoment(from, now, utc, "from");
  if (!(start < end)) throw new TimeError("The start must be before the end.");
  if (end - start < 1) throw new TimeError("The window must be at least a millisecond long.");
  if (start < FIRST || end > LAST) throw new TimeError("Only the years 1970 to 2261 can be shown.");
  return { from: start, to: end };
}

/**
 * One moment: `now`, `-8h`, `now-8h`, `2026-11-20 08:00`, `2026-11-20T08:00:00.123Z`, `08:30` (today).
 * @param {string} text @param {number} now @param {boolean} utc @param {string} what for the error's words
 */
export function readMoment(text, now, utc, what) {
  const trimmed = text.trim();
  if (!trimmed)
    throw new TimeError(
      `Say when the window ${what === "from" ? "starts" : "ends"}, for example ${what === "from" ? "-1h" : "now"}.`,
    );
  if (trimmed.toLowerCase() === "now") return now;
  const relative = /^(?:now)?\s*([+-])\s*(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(trimmed);
  if (relative) {
    const unit =
      UNITS[
        /** @type {keyof typeof UNITS} */ (
          relative[3]
            .toLowerCase()
            .replace(/^(hour|day|week|year|min)(ute)?s?$/, (w) => (w.startsWith("min") ? "min" : w[0]))
        )
      ];
    if (!unit) throw new TimeError(`“${relative[3]}” is no unit of time: use s, min, h, d, w or y.`);
    return now + (relative[1] === "-" ? -1 : 1) * Number(relative[2]) * unit;
  }
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?$/.exec(trimmed);
  if (clock) {
    const [year, month, day] = parts(now, utc);
    return moment(
      year,
      month,
      day,
      Number(clock[1]),
      Number(clock[2]),
      Number(clock[3] ?? 0),
      Number(clock[4] ?? 0),
      utc,
      trimmed,
    );
  }
  const full =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?$/i.exec(
      trimmed,
    );
  if (!full) throw new TimeError(`Cannot read “${shortened(trimmed)}” as a time. Write 2026-11-20 08:00, -8h or now.`);
  const [, y, mo, d, hh = 0, mm = 0, ss = 0, fraction = 0, zone] = full;
  const at = moment(
    Number(y),
    Number(mo),
    Number(d),
    Number(hh),
    Number(mm),
    Number(ss),
    Number(fraction),
    zone !== undefined || utc,
    trimmed,
  );
  if (!zone || /^(Z|UTC)$/i.test(zone)) return at;
  const digits = zone.slice(1).replace(":", "");
  return at - (zone[0] === "-" ? -1 : 1) * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 6e4;
}

/** @returns {number} */
function moment(
  /** @type {number} */ year,
  /** @type {number} */ month,
  /** @type {number} */ day,
  /** @type {number} */ hour,
  /** @type {number} */ minute,
  /** @type {number} */ second,
  /** @type {number} */ fraction,
  /** @type {boolean} */ utc,
  /** @type {string} */ text,
) {
  const ms = Math.round(fraction * 1000);
  const at = utc
    ? Date.UTC(year, month - 1, day, hour, minute, second, ms)
    : new Date(year, month - 1, day, hour, minute, second, ms).getTime();
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
  if (
    month < 1 ||
    month > 12 ||
    day < 1 ||
    day > days ||
    hour > 23 ||
    minute > 59 ||
    second > 59 ||
    !Number.isFinite(at)
  )
    throw new TimeError(`There is no such time as “${shortened(text)}”.`);
  return at;
}

/** @param {string} text */
const shortened = (text) => (text.length > 40 ? text.slice(0, 40) + "…" : text);

/** Year, month 1…12, day, hour, minute, second, millisecond. @param {number} ms @param {boolean} utc */
export function parts(ms, utc) {
  const d = new Date(ms);
  return utc
    ? [
        d.getUTCFullYear(),
        d.getUTCMonth() + 1,
        d.getUTCDate(),
        d.getUTCHours(),
        d.getUTCMinutes(),
        d.getUTCSeconds(),
        d.getUTCMilliseconds(),
      ]
    : [
        d.getFullYear(),
        d.getMonth() + 1,
        d.getDate(),
        d.getHours(),
        d.getMinutes(),
        d.getSeconds(),
        d.getMilliseconds(),
      ];
}

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");

/** `2026-11-20 08:00:00` with `digits` (0…9) after the second. @param {number} ms @param {boolean} utc @param {number} [digits] @param {number} [nanos] */
export function showMoment(ms, utc, digits = 0, nanos) {
  if (!Number.isFinite(ms)) return "";
  const whole = Math.floor(ms / 1000) * 1000;
  const [y, mo, d, hh, mm, ss] = parts(whole, utc);
  const fraction = digits
    ? "." +
      String(nanos ?? Math.round((ms - whole) * 1e6))
        .padStart(9, "0")
        .slice(0, digits)
    : "";
  return `${y}-${two(mo)}-${two(d)} ${two(hh)}:${two(mm)}:${two(ss)}${fraction}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A time of management's reports, `Nov/20/2026 08:00:00 UTC`, shown like all others; other texts stay. @param {string|undefined} text @param {boolean} utc */
export function showReported(text, utc) {
  const found = /^([A-Z][a-z]{2})\/(\d{2})\/(\d{4}) (\d{2}):(\d{2}):(\d{2}) UTC$/.exec(text ?? "");
  if (!found) return text === "Never" ? "never" : (text ?? "");
  const [, month, day, year, hour, minute, second] = found;
  return showMoment(
    Date.UTC(Number(year), MONTHS.indexOf(month), Number(day), Number(hour), Number(minute), Number(second)),
    utc,
  );
}

/** As the archive's calls want it. @param {number} ms */
export function iso(ms) {
  return new Date(Math.round(ms)).toISOString();
}

/** How the zone is called: `UTC` or `UTC+02:00`. @param {number} ms @param {boolean} utc */
export function zoneName(ms, utc) {
  const minutes = utc ? 0 : -new Date(ms).getTimezoneOffset();
  if (!minutes) return "UTC";
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

/** `3 h 20 min`. @param {number} ms */
export function showSpan(ms) {
  /** @type {[string, number][]} */
  const units = [
    ["y", UNITS.y],
    ["d", UNITS.d],
    ["h", UNITS.h],
    ["min", UNITS.min],
    ["s", UNITS.s],
  ];
  for (let i = 0; i < units.length; i++) {
    const [name, size] = units[i];
    if (ms >= size * 0.9995 && i < units.length - 1) {
      let whole = Math.floor(ms / size);
      let rest = Math.round((ms - whole * size) / units[i + 1][1]);
      if (rest * units[i + 1][1] >= size) ((whole += 1), (rest = 0));
      return rest && whole < 10 ? `${whole} ${name} ${rest} ${units[i + 1][0]}` : `${Math.round(ms / size)} ${name}`;
    }
  }
  return ms >= 1000 ? `${+(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s` : `${+ms.toFixed(1)} ms`;
}

/** The shortest relative text of a span, `-1h`. @param {number} ms */
export function relativeText(ms) {
  for (const unit of /** @type {const} */ (["y", "w", "d", "h", "min", "s"])) {
    const n = ms / UNITS[unit];
    if (n >= 1 && Math.abs(n - Math.round(n)) < 1e-6) return `-${Math.round(n)}${unit}`;
  }
  return `-${+(ms / 1000).toFixed(3)}s`;
}

/**
 * Labels of a time axis: the time of day, and below it the date where it changes.
 * @param {number[]} seconds the ticks @param {number} step between them, s @param {boolean} utc
 */
export function axisLabels(seconds, step, utc) {
  let before = "";
  return seconds.map((s) => {
    const [y, mo, d, hh, mm, ss] = parts(Math.floor(s + 1e-6) * 1000, utc);
    const date = step >= 86400 * 360 ? "" : step >= 86400 ? String(y) : `${y}-${two(mo)}-${two(d)}`;
    let text;
    if (step >= 86400 * 360) text = String(y);
    else if (step >= 86400 * 27) text = `${y}-${two(mo)}`;
    else if (step >= 86400) text = `${two(mo)}-${two(d)}`;
    else if (step >= 60) text = `${two(hh)}:${two(mm)}`;
    else if (step >= 1) text = `${two(hh)}:${two(mm)}:${two(ss)}`;
    else
      text = `${two(ss)}${(s - Math.floor(s + 1e-9)).toFixed(Math.min(6, Math.ceil(-Math.log10(step)))).replace(/^-?\d/, "")}`;
    const below = step >= 86400 * 27 || date === before ? "" : date;
    before = date;
    return below ? `${text}\n${below}` : text;
  });
}
