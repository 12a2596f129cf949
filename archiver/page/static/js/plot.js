/** The plot's view: which PVs, which window, when to ask the archive, and everything that follows from an answer. */

import { ApiError, isAbort, serverNow, wordsOf } from "./api.js";
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { byId, fill, h, say, settled, toast } from "./dom.js";
import { extras } from "./extras.js";
import { legend } from "./legend.js";
import { readout } from "./readout.js";
import { countSamples, ends, load, metadata, newest, newestArray, pointsFor } from "./source.js";
import { readWindow, showMoment, showSpan, zoneName } from "./times.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./source.js").Window} Window */

/**
 * A PV of the plot.
 * @typedef {object} Item
 * @property {string} name @property {boolean} hidden @property {string} letter @property {string} color @property {number[]} dash
 * @property {import("./series.js").Pv|null} pv null until it is known
 * @property {import("./series.js").Series|null} series what is drawn
 * @property {import("./series.js").Series|null} statistics what the window's statistics are computed from
 * @property {Awaited<ReturnType<typeof newestArray>>} array the newest one of a PV of arrays
 * @property {number|null} count of samples in the window, where the series does not say
 * @property {{first?: number, last?: number}} ends first and last value, where bins do not say
 * @property {string} error in words @property {string} scale
 */

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DASHES = [[], [7, 3], [2, 2], [8, 2, 2, 2]];
const TICK = 1000;
const RETRY = 5000;
const AGAIN = 60_000;
const LATE = 10_000;

export class PlotView {
  /**
   * @param {() => State} state @param {(change: Partial<State>, step: boolean) => void} change the state; `step`: one
   * that the browser's back button undoes @param {(words: string) => void} banner what is wrong with the archive, if anything
   */
  constructor(state, change, banner) {
    this.state = state;
    this.change = change;
    this.banner = banner;
    /** @type {Item[]} */ this.items = [];
    /** @type {Window} */ this.window = { from: 0, to: 1 };
    this.loaded = "";
    this.loadedAt = 0;
    this.polledAt = 0;
    this.retriedAt = 0;
    this.loads = new AbortController();
    this.pending = 0;
    this.polling = false;
    /** @type {number|null} */ this.cursor = null;
    this.active = false;
    this.chart = new Chart(byId("plot"), {
      window: (from, to) => this.controls.drag(from, to),
      zoom: (factor, at) => this.controls.zoom(factor, at),
      cursor: (at) => this.moveCursor(at),
    });
    this.readout = readout(byId("readout"), this.chart);
    this.legend = legend(byId("legend"), [], { remove: () => {}, toggle: () => {} });
    this.extras = extras(byId("texts"));
    this.reloadSoon = settled(() => this.reload(), 180);
    this.controls = new Controls(this);
    window.setInterval(() => void this.tick(), TICK);
  }

  /** Put PVs into the plot. @param {string[]} names */
  add(names) {
    this.controls.add(names);
  }

  get live() {
    return this.state().to === "now";
  }

  // What is shown

  /** @param {number|null} at s */
  moveCursor(at) {
    this.cursor = at;
    this.readout(this.items, at, this.state().utc);
    this.legend(this.window, at, this.state().utc);
  }

  /** The state changed, or the view came up. */
  update() {
    const state = this.state();
    this.active = state.view === "plot";
    if (!this.active) return;
    const known = new Map(this.items.map((item) => [item.name, item]));
    const names = state.pvs.map((pv) => pv.name).join("\n");
    const before = this.items.map((item) => item.name).join("\n");
    this.items = state.pvs.map(({ name, hidden }, i) =>
      Object.assign(known.get(name) ?? fresh(name), {
        hidden,
        letter: LETTERS[i],
        color: `var(--s${(i % 8) + 1})`,
        dash: DASHES[Math.floor(i / 8)],
      }),
    );
    if (names !== before) {
      this.legend = legend(byId("legend"), this.items, {
        remove: (item) => this.change({ pvs: this.state().pvs.filter((pv) => pv.name !== item.name) }, true),
        toggle: (item) =>
          this.change(
            { pvs: this.state().pvs.map((pv) => (pv.name === item.name ? { ...pv, hidden: !pv.hidden } : pv)) },
            true,
          ),
      });
    }
    this.moveWindow();
    this.header();
    this.redraw();
    const wanted = `${names}|${state.from}|${state.to}`;
    if (wanted !== this.loaded) {
      const quick = this.loaded === "" || names !== before || this.live;
      this.loaded = wanted;
      if (quick) this.reload();
      else this.reloadSoon();
    }
  }

  /** Where the window is now. */
  moveWindow() {
    const { from, to } = this.state();
    try {
      this.window = readWindow(from, to, serverNow(), true);
    } catch (problem) {
      // an address made by hand
      toast(`The address's window cannot be read. ${wordsOf(problem)}`, true);
      this.change({ from: "-1h", to: "now" }, false);
    }
  }

  /** Texts and buttons that follow from the state. */
  header() {
    const { from, utc, straight, pvs } = this.state();
    const live = this.live;
    const inputs = /** @type {Record<string, string>} */ ({
      from: /^-/.test(from) ? from : showMoment(this.window.from, utc, digitsFor(this.window)),
      to: live ? "now" : showMoment(this.window.to, utc, digitsFor(this.window)),
    });
    for (const [id, text] of Object.entries(inputs))
      if (document.activeElement !== byId(id) || byId(id).dataset.shown !== text)
        ((byId(id).value = text), (byId(id).dataset.shown = text));
    byId("window-error").textContent = "";
    for (const id of ["from", "to"]) byId(id).removeAttribute("aria-invalid");
    for (const button of byId("presets").children)
      button.setAttribute("aria-pressed", String(live && button.dataset.from === from));
    byId("live").setAttribute("aria-pressed", String(live));
    byId("steps").setAttribute("aria-pressed", String(!straight));
    say(byId("span"), `${showSpan(this.window.to - this.window.from)}, ${zoneName(this.window.to, utc)}`);
    byId("welcome").hidden = pvs.length > 0;
    byId("save").disabled = byId("share").disabled = !pvs.length;
    document.title = pvs.length
      ? `${pvs[0].name}${pvs.length > 1 ? ` and ${pvs.length - 1} more` : ""} – owlshift archive`
      : "owlshift archive";
  }

  /** One button for each unit: whether its axis is logarithmic. */
  logButtons() {
    const { logs } = this.state();
    const units = [
      ...new Set(
        this.items.filter((item) => item.pv?.kind === "number").map((item) => /** @type {any} */ (item.pv).unit),
      ),
    ];
    const host = byId("logs");
    const key = JSON.stringify([units, logs]);
    if (host.dataset.key === key) return;
    const focused = host.contains(document.activeElement)
      ? /** @type {any} */ (document.activeElement).dataset.unit
      : null;
    host.dataset.key = key;
    fill(
      host,
      units.map((unit) =>
        h(
          "button",
          {
            type: "button",
            "data-unit": unit,
            "aria-pressed": logs.includes(unit),
            title: "Logarithmic axis",
            onclick: () =>
              this.change({ logs: logs.includes(unit) ? logs.filter((u) => u !== unit) : [...logs, unit] }, true),
          },
          `log ${unit}`,
        ),
      ),
    );
    for (const button of host.children) {
      button.setAttribute("aria-pressed", String(logs.includes(button.dataset.unit)));
      if (button.dataset.unit === focused) button.focus();
    }
  }

  redraw() {
    const { utc, straight, logs } = this.state();
    const style = getComputedStyle(document.documentElement);
    const drawn = this.items.filter(
      (item) => item.pv && item.series && (item.pv.kind === "number" || item.pv.kind === "enum"),
    );
    for (const item of drawn) item.scale = scaleOf(/** @type {any} */ (item.pv));
    this.chart.traces = drawn.map((item) => ({
      .../** @type {any} */ (item),
      color: style.getPropertyValue(item.color.slice(4, -1)).trim(),
    }));
    Object.assign(this.chart, {
      from: this.window.from,
      to: this.window.to,
      now: serverNow(),
      utc,
      straight,
      logs: new Set(logs.map((unit) => `unit:${unit}`)),
    });
    this.chart.update();
    this.logButtons();
    this.legend(this.window, this.cursor, utc);
    this.readout(this.items, this.cursor, utc);
    this.extras(this.items, this.window, utc);
  }

  // What is asked for

  /** Ask for the whole window anew, of all PVs. */
  reload() {
    this.loads.abort();
    this.loads = new AbortController();
    const { signal } = this.loads;
    const window = { ...this.window };
    this.loadedAt = this.polledAt = Date.now();
    this.pending = 0;
    for (const item of this.items) void this.fetch(item, window, signal);
  }

  /** @param {Item} item @param {Window} window @param {AbortSignal} signal */
  async fetch(item, window, signal) {
    this.busy(1);
    try {
      item.pv ??= await metadata(item.name, signal);
      const points = pointsFor(this.chart.width);
      if (item.pv.kind === "array") {
        const found = await newestArray(item.pv, window.to, signal);
        const count = await countSamples(item.name, window, signal);
        Object.assign(item, { array: found, count, error: "" });
      } else {
        Object.assign(item, await load(item.pv, window, points, signal), { error: "" });
        if (item.statistics?.binned) item.ends = await ends(item.name, window, signal);
      }
      this.banner("");
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      const unreachable = error instanceof ApiError && error.status === 0;
      item.error =
        error instanceof ApiError && error.status === 404 && /typeinfo/.test(error.message)
          ? "is not archived"
          : wordsOf(error);
      if (unreachable) this.banner(`${wordsOf(error)} The page goes on trying.`);
    } finally {
      if (!signal.aborted) {
        this.busy(-1);
        if (this.active) this.redraw();
      }
    }
  }

  /** @param {number} change in the number of running requests */
  busy(change) {
    this.pending += change;
    byId("loading").hidden = this.pending <= 0;
    byId("plot").setAttribute("aria-busy", String(this.pending > 0));
  }

  /** Each second: move on with the present, and ask for what is new. */
  async tick() {
    if (!this.active || document.hidden || !this.live) return;
    const { from, to } = this.state();
    this.window = readWindow(from, to, serverNow(), true);
    this.redraw();
    if (this.pending > 0 || this.polling || !this.items.length) return;
    const now = Date.now();
    const span = this.window.to - this.window.from;
    const grown = this.items.some((item) => item.series && item.series.length > 30_000);
    const missed = now - this.polledAt > 5 * TICK + LATE;
    if (grown || missed || now - this.loadedAt > Math.max(AGAIN, span / 500)) return this.reload();
    const failed = this.items.filter((item) => item.error);
    if (failed.length && now - this.retriedAt > RETRY) {
      this.retriedAt = now;
      for (const item of failed) void this.fetch(item, { ...this.window }, this.loads.signal);
      return;
    }
    this.polling = true;
    const { signal } = this.loads;
    try {
      if (await this.poll(signal)) this.banner("");
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.banner(`${wordsOf(error)} The page goes on trying.`);
    } finally {
      this.polling = false;
    }
    if (!signal.aborted && this.active) this.redraw();
  }

  /** Ask for what is new; whether there was anything to ask. @param {AbortSignal} signal */
  async poll(signal) {
    const items = this.items.filter((item) => item.series && !item.error);
    const asked = Date.now();
    if (items.length) {
      const end = this.window.to + 1000;
      const answers = await newest(
        items.map((item) => item.name),
        end - (asked - this.polledAt) - LATE,
        end,
        signal,
      );
      items.forEach((item, i) => {
        for (const series of new Set([item.series, item.statistics])) {
          series?.append(answers[i]);
          series?.forget(this.window.from / 1000);
        }
        const latest = answers[i].at(-1);
        if (item.statistics?.binned && latest && !Array.isArray(latest.val))
          item.ends = { ...item.ends, last: Number(latest.val) };
      });
    }
    for (const item of this.items)
      if (item.pv?.kind === "array" && !item.error)
        item.array = await newestArray(item.pv, this.window.to + 1000, signal);
    this.polledAt = asked;
    return items.length > 0;
  }
}

/** @param {string} name @returns {Item} */
function fresh(name) {
  return {
    name,
    hidden: false,
    letter: "",
    color: "",
    dash: [],
    pv: null,
    series: null,
    statistics: null,
    array: null,
    count: null,
    ends: {},
    error: "",
    scale: "",
  };
}

/** The y-axis of a PV: one per unit, and one per list of states. @param {import("./series.js").Pv} pv */
function scaleOf(pv) {
  return pv.kind === "enum" ? `enum:${pv.labels.length ? pv.labels.join("\n") : pv.name}` : `unit:${pv.unit}`;
}

/** Digits after the second that a window's ends need. @param {Window} window */
function digitsFor({ from, to }) {
  return to - from < 60_000 || from % 1000 ? 3 : 0;
}
