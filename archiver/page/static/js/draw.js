/**
 * Traces on a canvas. The value of a PV holds until its next sample, so the samples themselves are drawn as steps (or
 * straight, when asked for); bins are drawn as a line of means in a band from minimum to maximum. Where the connection
 * was lost, or a sample is no number, there is nothing; where merely nothing came for long, the last value is dotted.
 */

/** @typedef {import("./series.js").Series} Series */

/**
 * @typedef {object} Trace
 * @property {import("./series.js").Pv} pv
 * @property {Series} series
 * @property {string} letter what it is called in the plot
 * @property {string} color
 * @property {number[]} dash in CSS pixels
 * @property {boolean} hidden
 * @property {string} scale the key of its y-axis
 */

/**
 * @typedef {object} Frame where to draw: canvas pixels, and what they mean
 * @property {CanvasRenderingContext2D} context
 * @property {number} left @property {number} top @property {number} width @property {number} height
 * @property {number} ratio canvas pixels per CSS pixel
 * @property {number} from s @property {number} to s @property {number} now s
 * @property {(value: number) => number} y
 * @property {boolean} straight
 * @property {Record<string, string>} colors
 */

/** Draw one trace. @param {Frame} f @param {Trace} trace @returns {number|null} the height of its newest value */
export function drawTrace(f, trace) {
  const { series, pv } = trace;
  const { context } = f;
  const first = Math.max(0, series.at(f.from) - 1);
  const last = Math.min(series.length - 1, series.at(f.to) + 1);
  if (last < first) return null;
  const x = (/** @type {number} */ t) => f.left + ((t - f.from) / (f.to - f.from)) * f.width;
  if (series.binned) drawBand(f, trace, first, last, x);
  const paths = linePaths(f, trace, first, last, x);
  context.lineJoin = "round";
  context.lineCap = "butt";
  context.lineWidth = 1.6 * f.ratio;
  context.strokeStyle = trace.color;
  context.setLineDash(trace.dash.map((d) => d * f.ratio));
  context.stroke(paths.line.path);
  context.lineWidth = 1.2 * f.ratio;
  context.globalAlpha = 0.7;
  context.setLineDash([1.5 * f.ratio, 4 * f.ratio]);
  context.stroke(paths.quiet.path);
  context.globalAlpha = 1;
  context.strokeStyle = f.colors.invalid;
  context.setLineDash([5 * f.ratio, 3 * f.ratio]);
  context.lineWidth = 1.6 * f.ratio;
  context.stroke(paths.invalid.path);
  context.setLineDash([]);
  const shown = series.at(f.to) - Math.max(0, series.at(f.from)) + 1;
  if (shown * 10 * f.ratio < f.width) drawDots(f, trace, first, last, x);
  drawMarks(f, trace, first, last, x);
  for (const [bx, by] of paths.breaks) if (bx >= f.left) drawSign(context, 3, bx, by, f.ratio, f.colors);
  const newest = series.at(Math.min(f.to, f.now));
  return newest < 0 ||
    series.unknownAt(Math.min(f.to, f.now)) ||
    (pv.kind === "number" && !Number.isFinite(series.y[newest]))
    ? null
    : f.y(series.y[newest]);
}

/** A path that goes on where it stopped, or starts anew. */
class Pen {
  constructor() {
    this.path = new Path2D();
    this.x = NaN;
    this.y = NaN;
  }

  /** @param {number} x0 @param {number} y0 @param {...number} rest pairs to go on to */
  draw(x0, y0, ...rest) {
    if (x0 !== this.x || y0 !== this.y) this.path.moveTo(x0, y0);
    for (let i = 0; i < rest.length; i += 2) this.path.lineTo(rest[i], rest[i + 1]);
    [this.x, this.y] = rest.slice(-2);
  }
}

/** @param {Frame} f @param {Trace} trace @param {number} first @param {number} last @param {(t: number) => number} x */
function linePaths(f, { series, pv }, first, last, x) {
  const line = new Pen();
  const quiet = new Pen();
  const invalid = new Pen();
  const states = pv.kind === "enum";
  const quietAfter = states ? Infinity : series.quietAfter();
  /** @type {number[][]} where a line ends because the connection was lost */
  const breaks = [];
  const clip = (/** @type {number} */ v) => Math.max(-1e6, Math.min(1e6, v));
  let px = NaN;
  let py = NaN;
  for (let i = first; i <= last; i++) {
    const here = x(series.t[i]);
    const value = series.y[i];
    const y = clip(f.y(value));
    if (!Number.isNaN(py)) {
      const pen = series.severity[i - 1] === 3 ? invalid : line;
      const bins = series.count[i] > 0 || series.count[i - 1] > 0;
      const gap = series.gaps.length ? series.gapIn(series.t[i - 1], series.t[i]) : null;
      if (gap) {
        pen.draw(px, py, x(gap[0]), py);
        breaks.push([x(gap[0]), py]);
      } else if (Number.isNaN(y)) pen.draw(px, py, here, py);
      else if (series.t[i] - series.t[i - 1] > quietAfter) (pen === line ? quiet : pen).draw(px, py, here, py);
      else if (states && bins) pen.draw(px, py, px, py);
      else if (bins || (f.straight && !states)) pen.draw(px, py, here, y);
      else pen.draw(px, py, here, py, here, y);
    }
    [px, py] = [here, y];
  }
  // the newest value holds until something else comes, but no longer than until now, or until the connection is lost
  const open = last >= 0 ? series.gapIn(series.t[last], Math.min(f.to, f.now)) : null;
  const end = Math.min(f.to, open ? open[0] : f.now);
  if (open && !Number.isNaN(py)) breaks.push([x(end), py]);
  if (!Number.isNaN(py) && last === series.length - 1 && end > series.t[last]) {
    const pen = series.severity[last] === 3 ? invalid : end - series.t[last] > quietAfter ? quiet : line;
    pen.draw(px, py, x(end), py);
  }
  return { line, quiet, invalid, breaks };
}

/** @param {Frame} f @param {Trace} trace @param {number} first @param {number} last @param {(t: number) => number} x */
function drawBand(f, { series, color, pv }, first, last, x) {
  const { context } = f;
  const half = series.interval / 2;
  const edges = new Path2D();
  const quietAfter = series.quietAfter();
  const band = (/** @type {number} */ v) =>
    Math.max(f.top - 2, Math.min(f.top + f.height + 2, Number.isNaN(v) ? f.top + f.height + 2 : v));
  const top = new Pen();
  const bottom = new Pen();
  context.fillStyle = color;
  context.globalAlpha = pv.kind === "enum" ? 0.5 : 0.28;
  for (let i = first; i <= last; i++) {
    if (!series.count[i] || Number.isNaN(series.y[i])) continue;
    const left = Math.round(x(series.t[i] - half));
    const width = Math.max(1, Math.round(x(series.t[i] + half)) - left);
    const [high, low] = [band(f.y(series.high[i])), band(f.y(series.low[i]))];
    const flat = pv.kind === "enum" ? 2 * f.ratio : 0;
    context.fillRect(left, high - flat / 2, width, low - high + flat);
    if (
      i > first &&
      series.count[i - 1] &&
      series.t[i] - series.t[i - 1] <= quietAfter &&
      !series.gapIn(series.t[i - 1], series.t[i]) &&
      pv.kind !== "enum"
    ) {
      const [before, here] = [x(series.t[i - 1]), x(series.t[i])];
      top.draw(before, band(f.y(series.high[i - 1])), here, high);
      bottom.draw(before, band(f.y(series.low[i - 1])), here, low);
    }
  }
  edges.addPath(top.path);
  edges.addPath(bottom.path);
  context.globalAlpha = 0.75;
  context.strokeStyle = color;
  context.lineWidth = f.ratio;
  context.setLineDash([]);
  context.stroke(edges);
  context.globalAlpha = 1;
}

/** @param {Frame} f @param {Trace} trace @param {number} first @param {number} last @param {(t: number) => number} x */
function drawDots(f, { series, color }, first, last, x) {
  f.context.fillStyle = color;
  for (let i = first; i <= last; i++) {
    const y = f.y(series.y[i]);
    if (Number.isNaN(y)) continue;
    f.context.beginPath();
    f.context.arc(x(series.t[i]), y, 2.2 * f.ratio, 0, 7);
    f.context.fill();
  }
}

/** Alarms, by shape and colour: at their start, and every so often while they last. @param {Frame} f @param {Trace} trace @param {number} first @param {number} last @param {(t: number) => number} x */
function drawMarks(f, { series }, first, last, x) {
  let before = 0;
  let place = -Infinity;
  for (let i = first; i <= last; i++) {
    const severity = series.severity[i];
    const here = x(series.t[i]);
    const due = severity > before ? here - place > 7 * f.ratio || severity > 1 : here - place > 60 * f.ratio;
    if (severity && here >= f.left && due) {
      const y = f.y(severity === 1 || !(series.high[i] > series.y[i]) ? series.y[i] : series.high[i]);
      drawSign(f.context, severity, here, Number.isNaN(y) ? f.top + f.height - 8 * f.ratio : y, f.ratio, f.colors);
      place = here;
      before = severity;
    } else if (!severity || here - place > 14 * f.ratio) {
      before = severity;
    }
  }
}

/**
 * The sign of a severity: triangle, diamond, cross.
 * @param {CanvasRenderingContext2D} c @param {number} severity @param {number} x @param {number} y @param {number} ratio @param {Record<string, string>} colors
 */
export function drawSign(c, severity, x, y, ratio, colors) {
  const r = 5 * ratio;
  c.save();
  c.translate(x, y);
  c.beginPath();
  if (severity === 1) (c.moveTo(0, -r), c.lineTo(r, r * 0.8), c.lineTo(-r, r * 0.8), c.closePath());
  else if (severity === 2)
    (c.moveTo(0, -r * 1.2), c.lineTo(r * 1.2, 0), c.lineTo(0, r * 1.2), c.lineTo(-r * 1.2, 0), c.closePath());
  else
    (c.moveTo(-r * 0.8, -r * 0.8),
      c.lineTo(r * 0.8, r * 0.8),
      c.moveTo(r * 0.8, -r * 0.8),
      c.lineTo(-r * 0.8, r * 0.8));
  c.lineWidth = (severity === 3 ? 4.5 : 2.5) * ratio;
  c.strokeStyle = colors.surface;
  c.stroke();
  if (severity === 3) {
    c.lineWidth = 2.2 * ratio;
    c.strokeStyle = colors.invalid;
    c.stroke();
  } else {
    c.fillStyle = severity === 1 ? colors.minor : colors.major;
    c.fill();
    c.lineWidth = ratio;
    c.strokeStyle = colors.ink;
    c.stroke();
  }
  c.restore();
}

/**
 * The letters of traces at the right edge, pushed apart where they would lie on each other.
 * @param {Frame} f @param {{letter: string, color: string, y: number}[]} letters
 */
export function drawLetters(f, letters) {
  const { context: c, ratio } = f;
  const size = 15 * ratio;
  const bottom = f.top + f.height - size / 2;
  const placed = letters
    .map((l) => ({ ...l, y: Math.max(f.top + size / 2, Math.min(bottom, l.y)) }))
    .sort((a, b) => a.y - b.y);
  for (let i = 1; i < placed.length; i++) placed[i].y = Math.max(placed[i].y, placed[i - 1].y + size);
  for (let i = placed.length - 1, limit = bottom; i >= 0; i--, limit = placed[i + 1].y - size)
    placed[i].y = Math.min(placed[i].y, limit);
  c.font = `600 ${10.5 * ratio}px system-ui, sans-serif`;
  c.textAlign = "center";
  c.textBaseline = "middle";
  for (const { letter, color, y } of placed) {
    const x = f.left + f.width - size * 0.7;
    c.fillStyle = f.colors.surface;
    c.strokeStyle = color;
    c.lineWidth = 1.5 * ratio;
    c.beginPath();
    c.roundRect(x - size / 2, y - size / 2 + ratio, size, size - 2 * ratio, 3 * ratio);
    c.fill();
    c.stroke();
    c.fillStyle = f.colors.ink;
    c.fillText(letter, x, y + 0.5 * ratio);
  }
}
