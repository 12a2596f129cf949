/** Wheel, shift-drag and fingers on a plot. Dragging with a mouse selects what to zoom into: that is uPlot's own. */

/** @param {import("./chart.js").Chart} chart a plot that was just made */
export function watchPointers(chart) {
  const over = chart.u.over;
  /** @type {Map<number, number>} finger or button -> where it is, in CSS pixels from the plot's left edge */
  const down = new Map();
  /** @type {{from: number, to: number, places: number[]}|null} what was there when they were put down */
  let start = null;
  const place = (/** @type {PointerEvent|WheelEvent} */ e) => e.clientX - over.getBoundingClientRect().left;

  const begin = () => {
    start = down.size ? { from: chart.from, to: chart.to, places: [...down.values()] } : null;
  };

  over.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => {
    if (e.pointerType === "mouse" && !(e.shiftKey || e.button === 1)) return;
    e.preventDefault();
    over.setPointerCapture(e.pointerId);
    down.set(e.pointerId, place(e));
    begin();
  });
  over.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => {
    if (!down.has(e.pointerId) || !start) return;
    down.set(e.pointerId, place(e));
    const now = [...down.values()];
    const width = over.clientWidth;
    const scale = (start.to - start.from) / width;
    if (now.length === 1) {
      const moved = (now[0] - start.places[0]) * scale;
      if (Math.abs(now[0] - start.places[0]) < 5) return;
      chart.handlers.window(start.from - moved, start.to - moved);
    } else if (now.length === 2) {
      // the moments under the two fingers stay under them
      const [a, b] = start.places.map((p) => /** @type {any} */ (start).from + p * scale);
      const apart = now[1] - now[0];
      if (Math.abs(apart) < 20 || Math.sign(apart) !== Math.sign(start.places[1] - start.places[0])) return;
      const perPixel = (b - a) / apart;
      const from = a - now[0] * perPixel;
      chart.handlers.window(from, from + perPixel * width);
    }
  });
  const end = (/** @type {PointerEvent} */ e) => {
    if (!down.delete(e.pointerId)) return;
    if (start && !down.size && Math.abs(place(e) - start.places[0]) < 5) chart.u.setCursor({ left: place(e), top: 10 });
    begin();
  };
  over.addEventListener("pointerup", end);
  over.addEventListener("pointercancel", end);

  over.addEventListener(
    "wheel",
    (/** @type {WheelEvent} */ e) => {
      e.preventDefault();
      const span = chart.to - chart.from;
      const unit = e.deltaMode === 1 ? 30 : e.deltaMode === 2 ? 300 : 1;
      if (Math.abs(e.deltaX) > Math.abs(e.deltaY) || e.shiftKey) {
        const moved = ((e.deltaX || e.deltaY) * unit * span) / over.clientWidth;
        chart.handlers.window(chart.from + moved, chart.to + moved);
        return;
      }
      const factor = 1.0018 ** Math.max(-400, Math.min(400, e.deltaY * unit));
      chart.handlers.zoom(factor, chart.from + (place(e) / over.clientWidth) * span);
    },
    { passive: false },
  );
}
