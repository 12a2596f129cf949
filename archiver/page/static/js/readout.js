/** The box beside the cursor: the time, and every PV's value then. */

import { fill, h } from "./dom.js";
import { alarmBadge, showValue } from "./legend.js";
import { showMoment } from "./times.js";

const MOST = 12;

/** @param {HTMLElement} box @param {import("./chart.js").Chart} chart */
export function readout(box, chart) {
  /** @param {import("./plot.js").Item[]} items @param {number|null} at s @param {boolean} utc */
  return (items, at, utc) => {
    box.hidden = at === null || !chart.traces.length;
    if (at === null || box.hidden) return;
    const rows = [];
    for (const item of items) {
      const i = item.series && item.pv && !item.hidden ? item.series.at(at) : -1;
      if (i < 0 || !item.series || !item.pv) continue;
      const swatch = h("span.swatch.small", {}, item.letter);
      swatch.style.setProperty("--color", item.color);
      if (item.series.unknownAt(at)) rows.push(h("div.invalid", {}, swatch, h("b", {}, "not connected")));
      else
        rows.push(
          h(
            "div",
            { class: item.series.severity[i] === 3 ? "invalid" : null },
            swatch,
            h("b", {}, (item.series.count[i] > 1 ? "≈ " : "") + showValue(item.pv, item.series.y[i])),
            alarmBadge(item.series.severity[i], item.series.status[i]),
          ),
        );
    }
    const step = (chart.to - chart.from) / chart.width / 1000;
    fill(
      box,
      h("time", {}, showMoment(at * 1000, utc, step < 0.002 ? 6 : step < 1 ? 3 : 0)),
      rows.slice(0, MOST),
      rows.length > MOST && h("div.note", {}, `and ${rows.length - MOST} more below`),
    );
    const right = chart.u.cursor.left > chart.u.over.clientWidth / 2;
    box.classList.toggle("to-left", right);
    box.style.setProperty("--at", `${chart.u.over.offsetLeft + chart.u.cursor.left}px`);
  };
}
