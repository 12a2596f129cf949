/** The plot: axes, cursor and selection are uPlot's; the traces, each with times of its own, are drawn by draw.js. */

import { h, token } from "./dom.js";
import { drawLetters, drawTrace } from "./draw.js";
import { axisNumbers, axisPowers } from "./numbers.js";
import { axisLabels } from "./times.js";
import { watchPointers } from "./pointers.js";

/** @typedef {import("./draw.js").Trace} Trace */

/** The palette of the style sheet as it is now. */
export function palette() {
  const colors = /** @type {Record<string, string>} */ ({});
  for (const name of ["ink", "muted", "line", "surface", "minor", "major", "invalid"])
    colors[name] = token(`--${name}`);
  return colors;
}

/**
 * @typedef {object} Handlers
 * @property {(from: number, to: number) => void} window the user wants another one; ms
 * @property {(factor: number, at: number) => void} zoom a window longer by the factor, in which `at` (ms) stays where it is
 * @property {(at: number|null) => void} cursor it is at this time, s
 */

const FEW_STATES = 6;

export class Chart {
  /** @param {HTMLElement} host @param {Handlers} handlers */
  constructor(host, handlers) {
    this.host = host;
    this.handlers = handlers;
    /** @type {Trace[]} */ this.traces = [];
    this.from = 0;
    this.to = 1;
    this.now = 1;
    this.utc = true;
    this.straight = false;
    /** @type {Set<string>} keys of logarithmic axes */
    this.logs = new Set();
    /** @type {any} */ this.u = null;
    this.shape = "";
    this.colors = palette();
    /** @type {Map<string, number[]>} */ this.ranges = new Map();
    new ResizeObserver(() => this.resize()).observe(host);
  }

  get width() {
    return Math.max(200, this.host.clientWidth);
  }

  get height() {
    return Math.max(160, this.host.clientHeight);
  }

  /** Forget colours: the scheme changed. */
  restyle() {
    this.colors = palette();
    this.shape = "";
    this.update();
  }

  /** Draw what the fields say. */
  update() {
    const visible = this.traces.filter((trace) => !trace.hidden);
    this.measure(visible);
    const keys = [...new Set(visible.map((trace) => trace.scale))];
    const shape = JSON.stringify([
      keys,
      this.width,
      this.height,
      this.utc,
      [...this.logs],
      visible.map((t) => t.letter + t.scale),
    ]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.build(keys, visible);
    } else {
      this.u.setData(this.data(keys), true);
    }
  }

  /** @param {string[]} keys */
  data(keys) {
    const rows = (keys.length ? keys : [""]).map((key) => this.ranges.get(key) ?? [0, 1]);
    return [[this.from / 1000, this.to / 1000], ...rows];
  }

  /** The range of each y-axis. @param {Trace[]} visible */
  measure(visible) {
    this.ranges.clear();
    for (const trace of visible) {
      const log = this.logs.has(trace.scale);
      const before = this.ranges.get(trace.scale);
      const states = trace.pv.kind === "enum" ? trace.pv.labels.length - 1 : -1;
      let found = trace.series.range(this.from / 1000, this.to / 1000, log);
      // all of a few states; of many those that occur, with their neighbours
      if (states >= 0 && states < FEW_STATES)
        found = [Math.min(0, found?.[0] ?? 0), Math.max(1, states, found?.[1] ?? 0)];
      else if (states >= 0 && found) found = [Math.max(0, found[0] - 1), Math.min(states, found[1] + 1)];
      if (!found) continue;
      this.ranges.set(trace.scale, before ? [Math.min(before[0], found[0]), Math.max(before[1], found[1])] : found);
    }
    for (const [key, [low, high]] of this.ranges) {
      if (key.startsWith("enum:")) this.ranges.set(key, [low - 0.4, high + 0.4]);
      else if (this.logs.has(key)) this.ranges.set(key, [niceBelow(low / 1.1), 1 / niceBelow(1 / (high * 1.1))]);
      else {
        const flat = high - low < 1e-12 * Math.max(Math.abs(low), Math.abs(high));
        const pad = flat ? Math.abs(high) * 0.05 || 1 : (high - low) * 0.07;
        this.ranges.set(key, [low - pad, high + pad]);
      }
    }
    for (const key of new Set(visible.map((t) => t.scale)))
      if (!this.ranges.has(key)) this.ranges.set(key, this.logs.has(key) ? [0.1, 10] : [0, 1]);
  }

  /** Powers of ten that an axis spans. @param {string} key */
  decades(key) {
    const [low, high] = this.ranges.get(key) ?? [1, 10];
    return Math.log10(high / low);
  }

  /** Make the plot anew. @param {string[]} keys @param {Trace[]} visible */
  build(keys, visible) {
    const { colors, utc } = this;
    const narrow = this.width < 520;
    const sides = narrow ? 2 : Math.max(2, Math.floor(this.width / 170));
    const grid = { stroke: colors.line, width: 1 };
    const ticks = { stroke: colors.line, width: 1, size: 5 };
    const shown = keys.length ? keys : [""];
    /** @type {any} */
    const scales = { x: { time: true, auto: true, range: () => [this.from / 1000, this.to / 1000] } };
    const axes = [
      {
        stroke: colors.ink,
        grid,
        ticks,
        space: narrow ? 62 : 80,
        size: 42,
        values: (
          /** @type {any} */ _u,
          /** @type {number[]} */ splits,
          /** @type {number} */ _axis,
          /** @type {number} */ _space,
          /** @type {number} */ step,
        ) => axisLabels(splits, step, utc),
      },
    ];
    shown.forEach((key, i) => {
      const log = this.logs.has(key);
      scales[key || "y"] = { auto: true, distr: log ? 3 : 1, range: () => this.ranges.get(key) ?? [0, 1] };
      const mine = visible.filter((t) => t.scale === key);
      const labels = key.startsWith("enum:") ? (mine[0]?.pv.labels ?? []) : null;
      const whole = mine.length > 0 && mine.every((t) => t.pv.whole) && !mine.some((t) => t.series.binned);
      axes.push(
        /** @type {any} */ ({
          scale: key || "y",
          show: i < sides,
          side: i % 2 ? 1 : 3,
          stroke: colors.ink,
          grid: i ? { show: false } : grid,
          ticks,
          label: axisTitle(mine, narrow),
          labelSize: 18,
          labelGap: 0,
          gap: 4,
          font: "12px system-ui, sans-serif",
          labelFont: "600 12px system-ui, sans-serif",
          size: (/** @type {any} */ _u, /** @type {string[]|null} */ values) =>
            14 + 6.7 * Math.max(2, ...(values ?? []).map((v) => (v ?? "").length)),
          space: 34,
          incrs:
            labels || whole
              ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8, 1e9]
              : undefined,
          splits: labels ? () => states(this.ranges.get(key) ?? [0, 1]) : undefined,
          filter: log ? (/** @type {any} */ _u, /** @type {number[]} */ splits) => splits : undefined,
          values: (/** @type {any} */ _u, /** @type {number[]} */ splits) =>
            labels
              ? splits.map((s) => short(labels[s] ?? String(s), narrow ? 8 : 16))
              : log
                ? axisPowers(splits, this.decades(key))
                : axisNumbers(splits),
        }),
      );
    });
    const focused = this.host.contains(document.activeElement);
    const cursor = this.u?.cursor.left;
    this.u?.destroy();
    this.host.replaceChildren();
    this.u = new uPlot(
      {
        width: this.width,
        height: this.height,
        pxAlign: 1,
        padding: [12, shown.length > 1 ? 0 : narrow ? 8 : 16, 0, 0],
        tzDate: (/** @type {number} */ ts) => (utc ? uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC") : new Date(ts * 1e3)),
        legend: { show: false },
        scales,
        axes,
        series: [{}, ...shown.map((key) => ({ scale: key || "y", paths: () => null, points: { show: false } }))],
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false, dist: 6 },
          bind: {
            mousedown:
              (/** @type {any} */ _u, /** @type {any} */ _t, /** @type {(e: MouseEvent) => void} */ handle) =>
              (/** @type {MouseEvent} */ e) => (e.shiftKey || e.button ? null : handle(e)),
            dblclick: () => () => null,
          },
        },
        hooks: {
          draw: [() => this.paint()],
          setCursor: [
            (/** @type {any} */ u) => this.handlers.cursor(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null),
          ],
          setSelect: [
            (/** @type {any} */ u) => {
              const { left, width } = u.select;
              if (width < 4) return;
              const [from, to] = [u.posToVal(left, "x") * 1000, u.posToVal(left + width, "x") * 1000];
              u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
              this.handlers.window(from, to);
            },
          ],
        },
      },
      this.data(keys),
      this.host,
    );
    watchPointers(this);
    if (focused) this.host.focus({ preventScroll: true });
    if (cursor > 0 && cursor < this.u.over.clientWidth) this.u.setCursor({ left: cursor, top: 10 });
  }

  /** Draw all traces into uPlot's canvas. */
  paint() {
    const u = this.u;
    if (!u) return;
    const { left, top, width, height } = u.bbox;
    const context = u.ctx;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    const letters = [];
    let frame;
    for (const trace of this.traces) {
      if (trace.hidden) continue;
      const [low, high] = this.ranges.get(trace.scale) ?? [0, 1];
      const log = this.logs.has(trace.scale);
      const y = log
        ? (/** @type {number} */ v) => (v > 0 ? top + (Math.log(high / v) / Math.log(high / low)) * height : NaN)
        : (/** @type {number} */ v) => (Number.isFinite(v) ? top + ((high - v) / (high - low)) * height : NaN);
      frame = {
        context,
        left,
        top,
        width,
        height,
        ratio: uPlot.pxRatio,
        from: this.from / 1000,
        to: this.to / 1000,
        now: this.now / 1000,
        y,
        straight: this.straight,
        colors: this.colors,
      };
      const end = drawTrace(frame, trace);
      if (end !== null && !Number.isNaN(end)) letters.push({ letter: trace.letter, color: trace.color, y: end });
    }
    if (frame && this.traces.length > 1) drawLetters(frame, letters);
    context.restore();
  }

  resize() {
    if (this.u && (this.u.width !== this.width || this.u.height !== this.height)) this.update();
  }

  /** Show the cursor at a time, or take it away. @param {number|null} at s */
  setCursor(at) {
    const left = at === null ? -10 : this.u.valToPos(at, "x");
    this.u?.setCursor({ left, top: at === null ? -10 : 10 });
  }

  /** The plot with a heading and the list of its PVs, as a PNG. @param {string} title @param {string[]} lines @returns {Promise<Blob>} */
  async picture(title, lines) {
    const ratio = uPlot.pxRatio;
    const source = this.u.ctx.canvas;
    const canvas = h("canvas");
    const row = 18 * ratio;
    const margin = 12 * ratio;
    canvas.width = source.width + 2 * margin;
    canvas.height = source.height + 2 * margin + row * (lines.length + 2);
    const c = canvas.getContext("2d");
    c.fillStyle = this.colors.surface;
    c.fillRect(0, 0, canvas.width, canvas.height);
    c.fillStyle = this.colors.ink;
    c.textBaseline = "middle";
    c.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    c.fillText(title, margin, margin + row / 2, source.width);
    c.drawImage(source, margin, margin + row * 1.4);
    c.font = `${12 * ratio}px system-ui, sans-serif`;
    lines.forEach((line, i) => c.fillText(line, margin, margin + row * 1.8 + source.height + row * i, source.width));
    return await new Promise((resolve, reject) =>
      canvas.toBlob(
        (/** @type {Blob|null} */ blob) => (blob ? resolve(blob) : reject(new Error("The browser made no picture."))),
        "image/png",
      ),
    );
  }
}

/** @param {Trace[]} traces @param {boolean} narrow */
function axisTitle(traces, narrow) {
  if (!traces.length) return "";
  const unit = traces[0].pv.kind === "enum" ? "" : traces[0].pv.unit || "";
  const letters = traces.map((t) => t.letter).join(", ");
  return narrow && unit ? unit : unit ? `${unit} (${letters})` : letters;
}

/** The next number from here down whose first digit is 1, 2 or 5. @param {number} value above 0 */
function niceBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const digit = value / power;
  return (digit >= 5 ? 5 : digit >= 2 ? 2 : 1) * power;
}

/** @param {number[]} range */
function states([low, high]) {
  const first = Math.ceil(low);
  const step = Math.max(1, Math.ceil((high - low) / 32));
  return Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, i) => first + i * step);
}

/** @param {string} text @param {number} length */
const short = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
