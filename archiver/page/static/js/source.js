/** Where samples come from: which call fits the window, and the newest samples after it. */

import { ApiError, call, json, parse } from "./api.js";
import { Series, describe, intervalOf } from "./series.js";
import { iso } from "./times.js";

const TEXTS = 20_000;

/** @typedef {import("./series.js").Pv} Pv */
/** @typedef {{from: number, to: number}} Window in ms */

/** What the archive knows of a PV. @param {string} name @param {AbortSignal} [signal] */
export async function metadata(name, signal) {
  return describe(name, await json("retrieval/bpl/getMetadata", { query: { pv: name }, signal }));
}

/** How many points are asked for on a plot of this width. @param {number} width in pixels */
export function pointsFor(width) {
  return Math.min(4000, Math.max(400, Math.ceil((width * 1.5) / 200) * 200));
}

/** The operators that are asked for: bins with their statistics, and the extremes at their own times. @param {number} points */
export function operators(points) {
  return { bins: `optimizedSample_${points}`, peaks: `minmax_${2 * points}` };
}

/**
 * The samples of a scalar PV in a window, and the one that holds at its start.
 *
 * Few samples come as they are. Of many, bins with mean, minimum and maximum are drawn; where bins, of whole seconds,
 * are wider than a point, the lowest and highest samples themselves. Either way no spike is lost, and the second answer
 * says when nothing was received. `statistics` is what the window's statistics are computed from.
 * @param {Pv} pv @param {Window} window @param {number} points @param {AbortSignal} signal
 * @returns {Promise<{series: Series, statistics: Series}>}
 */
export async function load(pv, window, points, signal) {
  const query = { from: iso(window.from), to: iso(window.to) };
  if (pv.kind === "string") {
    const series = new Series();
    const { rows, more } = await firstRows({ pv: pv.name, ...query }, TEXTS, signal);
    series.append(rows);
    series.thinned = more;
    return { series, statistics: series };
  }
  const names = operators(points);
  const ask = async (/** @type {string} */ operator) => {
    const answer = await json("retrieval/data/getData.json", {
      query: { pv: `${operator}(${pv.name})`, ...query },
      signal,
    });
    return answer[0]?.data ?? [];
  };
  const [rows, extremes] = await Promise.all([ask(names.bins), ask(names.peaks)]);
  const bins = new Series();
  bins.append(rows);
  if (rows.some((/** @type {any} */ row) => Array.isArray(row.val))) bins.interval = intervalOf(rows);
  const coarse = bins.binned && (window.to - window.from) / 1000 / bins.interval < points / 2;
  if (!coarse) {
    bins.learnGaps(extremes);
    return { series: bins, statistics: bins };
  }
  const peaks = new Series();
  peaks.append(extremes);
  peaks.thinned = true;
  return { series: peaks, statistics: bins };
}

/**
 * The newest array at or before a time; null when there is none.
 * @param {Pv} pv @param {number} at ms @param {AbortSignal} signal
 * @returns {Promise<{t: number, nanos: number, values: any[], severity: number, status: number}|null>}
 */
export async function newestArray(pv, at, signal) {
  const time = iso(at);
  const answer = await json("retrieval/data/getData.json", { query: { pv: pv.name, from: time, to: time }, signal });
  const row = (answer[0]?.data ?? []).at(-1);
  if (!row) return null;
  const values = pv.text ? row.val : row.val.map((/** @type {any} */ v) => (v === null ? NaN : Number(v)));
  return { t: row.secs + row.nanos / 1e9, nanos: row.nanos, values, severity: row.severity, status: row.status };
}

/** How many samples a PV has in a window. @param {string} name @param {Window} window @param {AbortSignal} signal */
export async function countSamples(name, window, signal) {
  const query = { pv: `ncount(${name})`, from: iso(window.from), to: iso(window.to) };
  const answer = await json("retrieval/data/getData.json", { query, signal });
  return Number(answer[0]?.data[0]?.val ?? 0);
}

/**
 * First and last value in a window whose bins do not have them: a few rows, whatever lies between.
 * @param {string} name @param {Window} window @param {AbortSignal} signal
 */
export async function ends(name, window, signal) {
  const to = iso(window.to);
  const [start, end] = await Promise.all([
    firstRows({ pv: name, from: iso(window.from), to }, 3, signal),
    json("retrieval/data/getData.json", { query: { pv: name, from: to, to }, signal }),
  ]);
  const time = (/** @type {any} */ row) => (row ? row.secs * 1000 + row.nanos / 1e6 : NaN);
  const first = start.rows.find((row) => time(row) >= window.from);
  const last = (end[0]?.data ?? []).at(-1);
  return { first: first && Number(first.val), last: last && time(last) >= window.from ? Number(last.val) : undefined };
}

/**
 * The samples of several PVs after a time; one call. Only PVs that are archived may be named.
 * @param {string[]} names @param {number} from ms @param {number} to ms @param {AbortSignal} signal
 * @returns {Promise<any[][]>} rows of each PV, in the order of the names
 */
export async function newest(names, from, to, signal) {
  const answer = await json("retrieval/data/getDataForPVs.json", {
    query: { pv: names, from: iso(from), to: iso(to) },
    signal,
  });
  if (answer.length !== names.length) throw new ApiError("The archive left out a PV.", 0);
  return answer.map((/** @type {any} */ one) => one.data);
}

/**
 * The first rows of an answer; the rest is not waited for.
 * @param {Record<string, string>} query @param {number} limit @param {AbortSignal} signal
 */
async function firstRows(query, limit, signal) {
  const enough = new AbortController();
  const stop = () => enough.abort();
  signal.addEventListener("abort", stop);
  /** @type {any[]} */
  const rows = [];
  try {
    const response = await call("retrieval/data/getData.json", { query, signal: enough.signal });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith('{ "secs"')) continue;
        if (rows.length === limit) {
          stop();
          return { rows, more: true };
        }
        rows.push(parse(line.replace(/,\s*$/, "")));
      }
      if (done) return { rows, more: false };
    }
  } catch (error) {
    if (error instanceof ApiError || signal.aborted) throw error;
    throw new ApiError("The answer broke off.", 0);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Names that fit what was typed: words in their order, in any case; `*` and `?` as in a shell.
 * @param {string} typed @param {number} limit @param {AbortSignal} signal
 * @returns {Promise<string[]>}
 */
export async function search(typed, limit, signal) {
  return await json("retrieval/bpl/getMatchingPVs", { query: { regex: pattern(typed), limit }, signal });
}

/** The regular expression of what was typed. @param {string} typed */
export function pattern(typed) {
  const glob = /[*?]/.test(typed);
  const words = typed
    .trim()
    .split(/\s+/)
    .map((word) =>
      word
        .replace(/[.+^${}()|[\]\\\-]/g, "\\$&")
        .replace(/\*/g, ".*")
        .replace(/\?/g, "."),
    );
  return `(?i)${glob ? words.join(".*") : `.*${words.join(".*")}.*`}`;
}
