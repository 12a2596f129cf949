/** What the user does to the plot's window: buttons, keys, the form with two times, and what pointers ask for. */

import { serverNow } from "./api.js";
import { byId, fill, h, settled, toast } from "./dom.js";
import { downloadDialog } from "./download.js";
import { searchBox } from "./search.js";
import { MAX_PVS } from "./state.js";
import { TimeError, iso, readMoment, readWindow, relativeText } from "./times.js";

const PRESETS = [
  ["10 min", "-10min"],
  ["1 h", "-1h"],
  ["8 h", "-8h"],
  ["1 d", "-1d"],
  ["1 w", "-1w"],
  ["1 y", "-1y"],
];
const SHORTEST = 20;
const LONGEST = 100 * 31557600e3;
const EARLIEST = 0;
const LATEST = Date.UTC(2262, 0, 1);

export class Controls {
  /** @param {import("./plot.js").PlotView} plot */
  constructor(plot) {
    this.plot = plot;
    this.settle = settled(() => plot.change({}, true), 500);
    searchBox(byId("search"), byId("matches"), byId("search-note"), (names) => this.add(names));
    fill(
      byId("presets"),
      PRESETS.map(([label, from]) =>
        h(
          "button",
          { type: "button", "data-from": from, title: `The last ${label}`, onclick: () => this.show(from, "now") },
          label,
        ),
      ),
    );
    byId("window").addEventListener("submit", (/** @type {Event} */ e) => {
      e.preventDefault();
      this.enter();
    });
    const span = () => this.plot.window.to - this.plot.window.from;
    byId("back").onclick = () => this.pan(-span() / 2);
    byId("forth").onclick = () => this.pan(span() / 2);
    byId("in").onclick = () => this.zoom(0.5, (this.plot.window.from + this.plot.window.to) / 2, true);
    byId("out").onclick = () => this.zoom(2, (this.plot.window.from + this.plot.window.to) / 2, true);
    byId("live").onclick = () => this.follow();
    byId("steps").onclick = () => this.plot.change({ straight: !this.plot.state().straight }, true);
    byId("share").onclick = () => void share();
    byId("save").onclick = () =>
      downloadDialog(this.plot.items, this.plot.window, this.plot.state().utc, this.plot.chart);
    byId("plot").addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => this.key(e));
    byId("plot").addEventListener("blur", () => plot.chart.u && this.plot.chart.setCursor(null));
  }

  /** @param {string[]} names */
  add(names) {
    const { pvs } = this.plot.state();
    const fresh = names.filter((name) => !pvs.some((pv) => pv.name === name));
    if (pvs.length + fresh.length > MAX_PVS) toast(`At most ${MAX_PVS} PVs fit into one plot.`, true);
    if (!fresh.length && names.length) toast(`${names[0]} is in the plot already.`);
    const room = fresh.slice(0, MAX_PVS - pvs.length);
    if (room.length) this.plot.change({ pvs: [...pvs, ...room.map((name) => ({ name, hidden: false }))] }, true);
  }

  /** Read the form's two times. */
  enter() {
    const utc = this.plot.state().utc;
    const error = byId("window-error");
    const texts = /** @type {Record<string, string>} */ ({
      from: byId("from").value.trim(),
      to: byId("to").value.trim() || "now",
    });
    try {
      const now = serverNow();
      const { from, to } = readWindow(texts.from, texts.to, now, utc);
      error.textContent = "";
      for (const id of ["from", "to"]) byId(id).removeAttribute("aria-invalid");
      const live = texts.to.toLowerCase() === "now";
      this.show(live && /^-/.test(texts.from) ? texts.from.replace(/\s/g, "") : iso(from), live ? "now" : iso(to));
    } catch (problem) {
      if (!(problem instanceof TimeError)) throw problem;
      error.textContent = problem.message;
      for (const id of ["from", "to"]) {
        let bad = /before/.test(problem.message);
        try {
          readMoment(texts[id], serverNow(), utc, id);
        } catch {
          bad = true;
        }
        byId(id).toggleAttribute("aria-invalid", bad);
        if (bad) byId(id).setAttribute("aria-invalid", "true");
      }
      byId(byId("from").hasAttribute("aria-invalid") ? "from" : "to").focus();
    }
  }

  /** @param {string} from @param {string} to */
  show(from, to) {
    this.plot.change({ from, to }, true);
  }

  /** A window by hand: drawn at once, asked for when the hand rests. @param {number} from @param {number} to ms */
  drag(from, to) {
    const span = Math.max(SHORTEST, Math.min(LONGEST, to - from));
    const start = Math.max(EARLIEST, Math.min(LATEST - span, (from + to - span) / 2));
    this.plot.change({ from: iso(start), to: iso(start + span) }, false);
    this.settle();
  }

  /** @param {number} ms */
  pan(ms) {
    const to = this.plot.window.to + ms;
    const span = this.plot.window.to - this.plot.window.from;
    if (ms > 0 && to >= serverNow()) return this.show(relativeText(span), "now");
    this.drag(this.plot.window.from + ms, to);
  }

  /** @param {number} factor @param {number} at ms @param {boolean} [round] whether a span up to now may be rounded */
  zoom(factor, at, round = false) {
    const { from, to } = this.plot.window;
    if (this.plot.live) {
      const span = Math.max(SHORTEST, Math.min(LONGEST, (to - from) * factor));
      this.plot.change({ from: relativeText(round ? rounded(span) : Math.round(span)), to: "now" }, false);
      this.settle();
    } else {
      this.drag(at - (at - from) * factor, at + (to - at) * factor);
    }
  }

  /** Follow the present, with the span that there is. */
  follow() {
    if (this.plot.live) this.show(iso(this.plot.window.from), iso(this.plot.window.to));
    else this.show(relativeText(Math.round(this.plot.window.to - this.plot.window.from)), "now");
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    if (e.altKey || e.metaKey || e.target !== e.currentTarget) return;
    const span = this.plot.window.to - this.plot.window.from;
    const side = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (side && e.shiftKey) this.pan((side * span) / 4);
    else if (side) {
      const at = this.plot.cursor ?? (side > 0 ? this.plot.window.from : this.plot.window.to) / 1000;
      const moved = at + (side * (e.ctrlKey ? 0.1 : 0.01) * span) / 1000;
      this.plot.chart.setCursor(
        Math.max(this.plot.window.from / 1000, Math.min(this.plot.window.to / 1000 - 1e-6, moved)),
      );
    } else if (e.key === "+" || e.key === "=")
      this.zoom(
        0.5,
        this.plot.cursor === null ? (this.plot.window.from + this.plot.window.to) / 2 : this.plot.cursor * 1000,
        true,
      );
    else if (e.key === "-") this.zoom(2, (this.plot.window.from + this.plot.window.to) / 2, true);
    else if (e.key === "0" && !this.plot.live) this.follow();
    else if (e.key === "Escape") this.plot.chart.setCursor(null);
    else return;
    e.preventDefault();
  }
}

/** A span that reads well. @param {number} ms */
function rounded(ms) {
  const nice = [
    1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 144e5, 288e5, 432e5, 864e5, 1728e5,
    3456e5, 6048e5, 12096e5, 24192e5, 52596e5, 1577880e4, 31557600e3,
  ];
  return nice.reduce(
    (best, n) => (Math.abs(Math.log(n / ms)) < Math.abs(Math.log(best / ms)) ? n : best),
    ms < 800 || ms > 6e10 ? ms : nice[0],
  );
}

/** Put the address into the clipboard; where a browser has none for a page without TLS, show it. */
async function share() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link is copied. Whoever opens it sees these PVs and this window.");
  } catch {
    const input = h("input", { value: location.href, readonly: true, id: "link", size: 60 });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "link-title", onclose: () => dialog.remove() },
      h("h2", { id: "link-title" }, "Copy this link"),
      input,
      h("div.actions", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    );
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  }
}
