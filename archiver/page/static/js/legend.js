/** The list of PVs below the plot: what each is, its value at the cursor or now, and the statistics of the window. */

import { serverNow } from "./api.js";
import { fill, h, say } from "./dom.js";
import { showCount, showNumber } from "./numbers.js";
import { alarmText, labelOf } from "./series.js";
import { showMoment, showSpan } from "./times.js";

/** @typedef {import("./plot.js").Item} Item */

const COLUMNS = ["min", "max", "mean", "std", "count", "first", "last"];

/** A value with its unit, or an enum's label. @param {import("./series.js").Pv} pv @param {any} value */
export function showValue(pv, value) {
  if (typeof value === "string") return value;
  if (pv.kind === "enum") return Number.isInteger(value) ? labelOf(pv, value) : showNumber(value, 2);
  return showNumber(value, pv.whole && Number.isInteger(value) ? 0 : pv.precision) + (pv.unit ? ` ${pv.unit}` : "");
}

/** Severity in shape, colour and words. @param {number} severity @param {number} status */
export function alarmBadge(severity, status) {
  const text = alarmText(severity, status);
  return text ? h("span.alarm", { class: `severity-${Math.min(3, severity)}` }, text) : null;
}

/**
 * The table. Rows are made once for a list of PVs; `update` changes their texts.
 * @param {HTMLElement} host @param {Item[]} items
 * @param {{remove: (item: Item) => void, toggle: (item: Item) => void}} actions
 */
export function legend(host, items, actions) {
  /** @type {Map<Item, Record<string, HTMLElement>>} */ const cells = new Map();
  const when = h("span.note");
  const rows = items.map((item) => {
    const row = /** @type {Record<string, any>} */ ({ value: h("td.value"), note: h("span.note") });
    for (const key of COLUMNS) row[key] = h("td.number", { "data-label": key });
    cells.set(item, row);
    row.toggle = h("button.swatch", { type: "button", onclick: () => actions.toggle(item) }, item.letter);
    row.row = h(
      "tr",
      { "data-pv": item.name },
      h("td", { class: "pick" }, row.toggle),
      h("th", { scope: "row" }, h("span.name", {}, item.name), " ", row.note),
      row.value,
      COLUMNS.map((key) => row[key]),
      h(
        "td",
        { class: "drop" },
        h(
          "button.plain",
          {
            type: "button",
            title: "Remove from the plot",
            "aria-label": `Remove ${item.name}`,
            onclick: () => actions.remove(item),
          },
          "✕",
        ),
      ),
    );
    return row.row;
  });
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, h("span.hidden", {}, "Shown")),
    h("th", { scope: "col" }, "PV"),
    h("th", { scope: "col" }, "Value ", when),
    COLUMNS.map((key) => h("th.number", { scope: "col" }, key)),
    h("th", { scope: "col" }, h("span.hidden", {}, "Remove")),
  );
  fill(
    host,
    items.length
      ? h(
          "div.scroll",
          { tabindex: "0", role: "region", "aria-label": "PVs in the plot" },
          h(
            "table.legend",
            {},
            h("caption.hidden", {}, "PVs in the plot with the statistics of the window"),
            h("thead", {}, head),
            h("tbody", {}, rows),
          ),
        )
      : null,
  );

  /**
   * @param {{from: number, to: number}} window ms @param {number|null} cursor s @param {boolean} utc
   */
  return function update(window, cursor, utc) {
    say(when, cursor === null ? "now or newest" : `at ${showMoment(cursor * 1000, utc)}`);
    for (const item of items) {
      const row = /** @type {Record<string, any>} */ (cells.get(item));
      row.toggle.setAttribute("aria-pressed", String(!item.hidden));
      row.toggle.setAttribute("aria-label", `${item.hidden ? "Show" : "Hide"} ${item.name}`);
      row.toggle.title = item.hidden ? "Show" : "Hide";
      row.toggle.style.setProperty("--color", item.color);
      row.row.classList.toggle("off", item.hidden);
      row.row.classList.toggle("broken", Boolean(item.error));
      say(row.note, item.error || noteOf(item));
      setValue(row.value, item, cursor ?? Infinity, utc);
      const s =
        item.pv && item.pv.kind !== "string" ? item.statistics?.statistics(window.from / 1000, window.to / 1000) : null;
      const p = item.pv;
      const number = (/** @type {number|undefined} */ v) =>
        s && p && v !== undefined
          ? p.kind === "enum" && Number.isInteger(v)
            ? labelOf(p, v)
            : showNumber(v, p.whole && Number.isInteger(v) ? 0 : p.precision)
          : "";
      const derived = (/** @type {number} */ v) =>
        s && p ? showNumber(v, p.precision === null ? null : p.precision + 1) : "";
      say(row.min, number(s?.low));
      say(row.max, number(s?.high));
      say(row.mean, s && p?.kind === "number" ? derived(s.mean) : "");
      say(row.std, s && p?.kind === "number" ? derived(s.std) : "");
      say(
        row.count,
        s
          ? showCount(s.count)
          : item.count !== null
            ? showCount(item.count)
            : item.pv && item.series
              ? showCount(counted(item, window))
              : "",
      );
      say(row.first, number(s && item.statistics ? endValue(item, s.first, "first") : undefined));
      say(row.last, number(s && item.statistics ? endValue(item, s.last, "last") : undefined));
    }
  };
}

/** @param {Item} item @param {number} index @param {"first"|"last"} which */
function endValue(item, index, which) {
  const series = /** @type {NonNullable<Item["series"]>} */ (item.statistics);
  return series.count[index] ? item.ends[which] : series.y[index];
}

/** Samples in the window of a PV without statistics. @param {Item} item @param {{from: number, to: number}} window */
function counted(item, window) {
  return item.series ? item.series.t.filter((t) => t * 1000 >= window.from && t * 1000 <= window.to).length : 0;
}

/** @param {Item} item */
function noteOf(item) {
  if (!item.pv) return "loading…";
  const { pv, series } = item;
  if (pv.kind === "array") return pv.description;
  if (series && !series.length) return "no samples up to here";
  const how = series?.binned
    ? `mean and band from min to max, each of ${showSpan(series.interval * 1000)}`
    : series?.thinned
      ? "drawn by its lowest and highest samples"
      : "";
  return [pv.description, how].filter(Boolean).join(" · ");
}

/** @param {HTMLElement} cell @param {Item} item @param {number} at s @param {boolean} utc */
function setValue(cell, item, at, utc) {
  const { pv, series } = item;
  const shown = series && pv ? series.at(at) : -1;
  if (!series || !pv || shown < 0)
    return say(cell, pv?.kind === "array" && item.array ? `${item.array.values.length} elements` : "");
  if (series.unknownAt(Math.min(at, serverNow() / 1000))) {
    cell.dataset.key = "";
    cell.classList.add("invalid");
    return fill(cell, h("span.now", {}, "not connected"));
  }
  const range =
    series.count[shown] > 1 && series.low[shown] < series.high[shown]
      ? ` (${showNumber(series.low[shown], pv.precision)} … ${showNumber(series.high[shown], pv.precision)})`
      : "";
  const text = (series.count[shown] > 1 ? "≈ " : "") + showValue(pv, series.y[shown]) + range;
  const time = showMoment(series.t[shown] * 1000, utc, 3, series.nanos[shown]);
  const key = `${text}|${series.severity[shown]}|${series.status[shown]}|${time}`;
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  cell.classList.toggle("invalid", series.severity[shown] === 3);
  fill(
    cell,
    h("span.now", {}, text),
    " ",
    alarmBadge(series.severity[shown], series.status[shown]),
    h("time", {}, time),
  );
}
