/** What is no line: texts as a table, arrays as the newest trace. */

import { fill, h, say } from "./dom.js";
import { palette } from "./chart.js";
import { alarmBadge } from "./legend.js";
import { axisNumbers, showCount } from "./numbers.js";
import { showMoment } from "./times.js";

const ROWS = 200;
const POINTS = 4000;

/** @typedef {import("./plot.js").Item} Item */

/** @param {HTMLElement} host */
export function extras(host) {
  /** @type {Map<string, {card: HTMLElement, update: (item: Item, window: {from: number, to: number}, utc: boolean) => void}>} */
  const cards = new Map();
  /** @param {Item[]} items @param {{from: number, to: number}} window @param {boolean} utc */
  return (items, window, utc) => {
    const wanted = items.filter(
      (item) =>
        !item.hidden &&
        item.pv &&
        ((item.pv.kind === "string" && item.series) || (item.pv.kind === "array" && item.array)),
    );
    const names = new Set(wanted.map((item) => item.name));
    for (const [name, { card }] of cards) if (!names.has(name)) (card.remove(), cards.delete(name));
    for (const item of wanted) {
      let entry = cards.get(item.name);
      if (!entry) {
        entry = item.pv?.kind === "string" ? textCard() : arrayCard();
        cards.set(item.name, entry);
        host.append(entry.card);
      }
      entry.update(item, window, utc);
    }
  };
}

function textCard() {
  const title = h("h2");
  const note = h("p.note");
  const body = h("tbody");
  const card = h(
    "section.card.texts",
    {},
    title,
    note,
    h(
      "div.scroll",
      { tabindex: "0" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "Time"),
            h("th", { scope: "col" }, "Text"),
            h("th", { scope: "col" }, "Alarm"),
          ),
        ),
        body,
      ),
    ),
  );
  let shown = "";
  return {
    card,
    /** @param {Item} item @param {{from: number, to: number}} window @param {boolean} utc */
    update(item, window, utc) {
      const series = /** @type {NonNullable<Item["series"]>} */ (item.series);
      const first = Math.max(0, series.at(window.from / 1000));
      const last = series.at(window.to / 1000);
      const key = `${first}|${last}|${utc}|${series.t[last]}|${series.length}`;
      say(title, item.name);
      if (key === shown) return;
      shown = key;
      const count = last - first + 1;
      say(
        note,
        count <= 0
          ? "No text in this window or before it."
          : `${series.thinned ? "The window has more texts than are read here; a shorter one shows them. " : ""}${count > ROWS ? `The newest ${ROWS} of ${showCount(count)}, newest first.` : "Newest first; the last one may be older than the window."}`,
      );
      const rows = [];
      for (let i = last; i >= first && rows.length < ROWS; i--)
        rows.push(
          h(
            "tr",
            { class: series.severity[i] === 3 ? "invalid" : null },
            h("td", {}, h("time", {}, showMoment(series.t[i] * 1000, utc, 3, series.nanos[i]))),
            h("td.text", {}, String(series.y[i])),
            h("td", {}, alarmBadge(series.severity[i], series.status[i])),
          ),
        );
      fill(body, rows);
    },
  };
}

function arrayCard() {
  const title = h("h2");
  const note = h("p.note");
  const plot = h("div.small-plot");
  const card = h("section.card", {}, title, note, plot);
  let shown = "";
  /** @type {any} */ let u = null;
  return {
    card,
    /** @param {Item} item @param {{from: number, to: number}} _window @param {boolean} utc */
    update(item, _window, utc) {
      const array = /** @type {NonNullable<Item["array"]>} */ (item.array);
      const pv = /** @type {NonNullable<Item["pv"]>} */ (item.pv);
      const width = Math.max(200, plot.clientWidth || card.clientWidth - 24);
      const key = `${array.t}|${array.nanos}|${width}|${utc}|${item.count}|${item.color}|${document.documentElement.dataset.scheme}`;
      if (key === shown) return;
      shown = key;
      say(title, item.name + (pv.unit ? ` (${pv.unit})` : ""));
      const values = array.values;
      const thinned = values.length > POINTS ? ", drawn by minimum and maximum" : "";
      fill(
        note,
        `The newest of ${item.count === null ? "its" : showCount(item.count)} arrays in the window: ${showCount(values.length)} elements${thinned}, `,
        h("time", {}, showMoment(array.t * 1000, utc, 3, array.nanos)),
        " ",
        alarmBadge(array.severity, array.status),
      );
      u?.destroy();
      u = null;
      if (pv.text || !values.length)
        return fill(
          plot,
          pv.text
            ? h(
                "ol.elements",
                { start: "0" },
                values.slice(0, ROWS).map((/** @type {any} */ v) => h("li", {}, String(v))),
              )
            : "An empty array.",
        );
      plot.replaceChildren();
      const colors = palette();
      const style = getComputedStyle(document.documentElement);
      const axis = {
        stroke: colors.ink,
        grid: { stroke: colors.line, width: 1 },
        ticks: { stroke: colors.line, width: 1, size: 4 },
      };
      u = new uPlot(
        {
          width,
          height: 200,
          legend: { show: false },
          cursor: { show: false },
          scales: { x: { time: false } },
          axes: [
            {
              ...axis,
              size: 30,
              space: 60,
              values: (/** @type {any} */ _u, /** @type {number[]} */ s) => axisNumbers(s),
            },
            {
              ...axis,
              size: 60,
              space: 30,
              values: (/** @type {any} */ _u, /** @type {number[]} */ s) => axisNumbers(s),
            },
          ],
          series: [
            {},
            {
              stroke: style.getPropertyValue(item.color.slice(4, -1)).trim(),
              width: 1.5,
              points: { show: values.length < 60 },
            },
          ],
        },
        thin(values),
        plot,
      );
    },
  };
}

/** Index and value of an array, each stretch of a long one by its minimum and maximum. @param {number[]} values */
function thin(values) {
  const finite = values.map((v) => (Number.isFinite(v) ? v : null));
  if (values.length <= POINTS) return [values.map((_, i) => i), finite];
  /** @type {number[]} */ const x = [];
  /** @type {(number|null)[]} */ const y = [];
  const size = Math.ceil((2 * values.length) / POINTS);
  for (let start = 0; start < values.length; start += size) {
    let [low, high] = [-1, -1];
    for (let i = start; i < Math.min(values.length, start + size); i++) {
      if (finite[i] === null) continue;
      if (low < 0 || /** @type {number} */ (finite[i]) < /** @type {number} */ (finite[low])) low = i;
      if (high < 0 || /** @type {number} */ (finite[i]) > /** @type {number} */ (finite[high])) high = i;
    }
    if (low < 0) (x.push(start), y.push(null));
    else
      for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) (x.push(i), y.push(finite[i]));
  }
  return [x, y];
}
