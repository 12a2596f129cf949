/** Samples of one PV as columns, and what can be computed from them. Times are seconds since 1970. */

export const SEVERITIES = ["", "MINOR", "MAJOR", "INVALID"];

/** EPICS alarm statuses, by number. */
export const STATUSES = [
  "NO_ALARM",
  "READ",
  "WRITE",
  "HIHI",
  "HIGH",
  "LOLO",
  "LOW",
  "STATE",
  "COS",
  "COMM",
  "TIMEOUT",
  "HW_LIMIT",
  "CALC",
  "SCAN",
  "LINK",
  "SOFT",
  "BAD_SUB",
  "UDF",
  "DISABLE",
  "SIMM",
  "READ_ACCESS",
  "WRITE_ACCESS",
];

/** `MAJOR HIHI`, or nothing without an alarm. @param {number} severity @param {number} status */
export function alarmText(severity, status) {
  if (!severity) return "";
  return [SEVERITIES[severity] ?? `severity ${severity}`, status ? (STATUSES[status] ?? `status ${status}`) : ""]
    .filter(Boolean)
    .join(" ");
}

/**
 * What is known of a PV before its samples.
 * @typedef {object} Pv
 * @property {string} name as asked for
 * @property {"number"|"enum"|"string"|"array"} kind
 * @property {boolean} text whether its elements are texts
 * @property {boolean} whole whether its values are whole numbers
 * @property {string} unit
 * @property {number|null} precision
 * @property {string[]} labels of an enum's states
 * @property {string} description
 * @property {string} type the archive's name of it
 * @property {Record<string, string>} metadata
 */

/** From what getMetadata says. @param {string} name @param {Record<string, any>} metadata @returns {Pv} */
export function describe(name, metadata) {
  const type = String(metadata.DBRType ?? "DBR_SCALAR_DOUBLE");
  const element = type.replace(/^DBR_(SCALAR|WAVEFORM)_/, "");
  const kind = type.includes("WAVEFORM")
    ? "array"
    : element === "STRING"
      ? "string"
      : element === "ENUM"
        ? "enum"
        : "number";
  const labels = [];
  for (let i = 0; i < 32 && metadata[`ENUM_${i}`] !== undefined; i++) labels.push(String(metadata[`ENUM_${i}`]));
  const precision = Number.parseFloat(metadata.PREC);
  return {
    name,
    kind,
    type,
    text: element === "STRING",
    whole: ["INT", "SHORT", "BYTE", "ENUM"].includes(element),
    unit: String(metadata.EGU ?? ""),
    precision: Number.isFinite(precision) ? Math.round(precision) : null,
    labels,
    description: String(metadata.DESC ?? ""),
    metadata,
  };
}

/** An enum's state in words. @param {Pv} pv @param {number} value */
export function labelOf(pv, value) {
  return pv.labels[value] || `state ${value}`;
}

/** Samples of one scalar PV, oldest first; those out of bins have `count` > 0 and an interval. */
export class Series {
  constructor() {
    /** @type {number[]} */ this.t = [];
    /** @type {number[]} nanoseconds of the second, exact */ this.nanos = [];
    /** @type {any[]} the value, or the mean of a bin */ this.y = [];
    /** @type {number[]} */ this.low = [];
    /** @type {number[]} */ this.high = [];
    /** @type {number[]} */ this.std = [];
    /** @type {number[]} samples in the bin; 0: one sample as it is */ this.count = [];
    /** @type {number[]} */ this.severity = [];
    /** @type {number[]} */ this.status = [];
    /** @type {[number, number][]} from when to when nothing was received; the last one may go on for ever */ this.gaps =
      [];
    /** seconds of a bin; 0 when the samples are as they were archived */
    this.interval = 0;
    /** whether samples were left out, and none of those shown stands for them */
    this.thinned = false;
  }

  get length() {
    return this.t.length;
  }

  get binned() {
    return this.interval > 0;
  }

  /** Append rows of a `.json` answer that are later than what is there; what they say of gaps, too. @param {any[]} rows */
  append(rows) {
    this.learnGaps(rows);
    let last = this.length ? this.t[this.length - 1] : -Infinity;
    let lastNanos = this.length ? this.nanos[this.length - 1] : 0;
    let added = 0;
    for (const row of rows) {
      const t = row.secs + row.nanos / 1e9;
      if (isGap(row)) continue;
      if (t < last || (t === last && row.nanos <= lastNanos)) continue;
      [last, lastNanos] = [t, row.nanos];
      added++;
      this.t.push(t);
      this.nanos.push(row.nanos);
      this.severity.push(row.severity ?? 0);
      this.status.push(row.status ?? 0);
      if (Array.isArray(row.val)) {
        const [mean, std, low, high, count] = row.val.map(Number);
        (this.y.push(mean), this.low.push(low), this.high.push(high), this.std.push(std), this.count.push(count));
      } else {
        const value =
          typeof row.val === "string" && !NUMERIC.test(row.val) ? row.val : row.val === null ? NaN : Number(row.val);
        (this.y.push(value), this.low.push(value), this.high.push(value), this.std.push(0), this.count.push(0));
      }
    }
    return added;
  }

  /** Note the gaps that rows tell of: those that stand for one, and samples that came after one. @param {any[]} rows */
  learnGaps(rows) {
    for (const row of rows) {
      const lost = Number(row.fields?.cnxlostepsecs);
      if (!(lost > 0)) continue;
      const t = row.secs + row.nanos / 1e9;
      const found = Number(row.fields.cnxregainedepsecs);
      const start = isGap(row) ? t : lost;
      const known = this.gaps.find((gap) => Math.abs(gap[0] - start) < 1.5);
      if (known) known[1] = found > 0 ? found : known[1];
      else this.gaps.push([start, found > 0 ? found : Infinity]);
    }
    this.gaps.sort((a, b) => a[0] - b[0]);
    // only the newest one can still last
    this.gaps.forEach((gap, i) => i < this.gaps.length - 1 && gap[1] === Infinity && (gap[1] = this.gaps[i + 1][0]));
  }

  /** The gap that begins from `after` up to `before`, if there is one. @param {number} after @param {number} before s */
  gapIn(after, before) {
    return this.gaps.find((gap) => gap[0] >= after && gap[0] < before) ?? null;
  }

  /** Whether nothing was received at this time, and nothing has come since. @param {number} t s */
  unknownAt(t) {
    const i = this.at(t);
    return i >= 0 && this.gapIn(this.t[i], Math.max(t, this.t[i])) !== null;
  }

  /** The index of the newest sample at or before `t`; -1 when there is none. @param {number} t */
  at(t) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.t[middle] <= t) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Forget what is older than `t`, but for the newest of it. @param {number} t */
  forget(t) {
    const n = this.at(t);
    if (n > 2000) for (const key of COLUMNS) /** @type {any} */ (this)[key].splice(0, n);
  }

  /** Lowest and highest value with a time from `from` to `to`, and the one that holds at `from`. @param {number} from @param {number} to @param {boolean} positive only values above 0 */
  range(from, to, positive = false) {
    let low = Infinity;
    let high = -Infinity;
    for (let i = Math.max(0, this.at(from)), end = this.at(to + this.interval / 2); i <= end; i++) {
      if (!positive || this.low[i] > 0) low = Math.min(low, finite(this.low[i], low));
      if (!positive || this.high[i] > 0) high = Math.max(high, finite(this.high[i], high));
      if (positive && this.low[i] <= 0 && this.y[i] > 0) low = Math.min(low, this.y[i]);
    }
    return low <= high ? [low, high] : null;
  }

  /** The length of time without a sample from which on it is worth showing, s. */
  quietAfter() {
    if (this.length < 3) return Infinity;
    const steps = [];
    for (let i = 1, every = Math.max(1, Math.floor(this.length / 2000)); i < this.length; i += every)
      steps.push(this.t[i] - this.t[i - 1]);
    steps.sort((a, b) => a - b);
    return Math.max(8 * steps[Math.floor(steps.length * 0.9)], 3 * this.interval);
  }

  /**
   * Statistics of the samples in [from, to], exact also over bins; null without any. NaN counts as no sample.
   * @param {number} from @param {number} to
   */
  statistics(from, to) {
    let count = 0;
    let mean = 0;
    let m2 = 0;
    let low = Infinity;
    let high = -Infinity;
    let first = -1;
    let last = -1;
    for (let i = 0; i < this.length; i++) {
      const value = this.y[i];
      const n = this.count[i] || 1;
      const inside =
        this.count[i] && this.interval
          ? Math.floor(this.t[i] / this.interval) >= Math.floor(from / this.interval) &&
            this.t[i] - this.interval / 2 <= to
          : this.t[i] >= from && this.t[i] <= to;
      if (!inside || typeof value !== "number" || Number.isNaN(value)) continue;
      if (first < 0) first = i;
      last = i;
      const more = this.count[i] ? this.std[i] ** 2 * (n - 1) : 0;
      const delta = value - mean;
      m2 += more + (delta * delta * count * n) / (count + n);
      mean += (delta * n) / (count + n);
      count += n;
      low = Math.min(low, this.low[i]);
      high = Math.max(high, this.high[i]);
    }
    if (!count) return null;
    return { count, mean, std: count > 1 ? Math.sqrt(m2 / (count - 1)) : 0, low, high, first, last };
  }
}

const COLUMNS = ["t", "nanos", "y", "low", "high", "std", "count", "severity", "status"];
const NUMERIC = /^(NaN|-?Infinity)$/;

/** @param {number} value @param {number} otherwise */
const finite = (value, otherwise) => (Number.isFinite(value) ? value : otherwise);

/** Whether a row is no sample, but stands for a gap that begins at its time. @param {any} row */
function isGap(row) {
  return row.fields?.cnxlostepsecs !== undefined && row.severity === 3 && (row.val === null || row.val === "NaN");
}

/** Seconds of the bins of an answer: the smallest distance of two. @param {any[]} rows */
export function intervalOf(rows) {
  let step = Infinity;
  for (let i = 1; i < rows.length; i++)
    step = Math.min(step, rows[i].secs + rows[i].nanos / 1e9 - rows[i - 1].secs - rows[i - 1].nanos / 1e9);
  return Number.isFinite(step) ? step : 1;
}
