/** Numbers as people read them. */

/** A value with the PV's precision, or as short as it stays exact enough. @param {number} value @param {number|null} [precision] */
export function showNumber(value, precision = null) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return minus(trimmed(value.toExponential(5)));
  if (precision !== null && precision >= 0 && precision <= 12 && (size === 0 || size >= 0.5 * 10 ** -precision))
    return minus(value.toFixed(precision));
  return minus(String(+value.toPrecision(7)));
}

/** @param {string} text */
const trimmed = (text) => text.replace(/\.?0+e/, "e").replace("e+", "e");
/** @param {string} text */
const minus = (text) => text.replace(/^-/, "−").replace("e-", "e−");

/** A count with thin spaces. @param {number} n */
export function showCount(n) {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Labels of a y-axis's ticks: one precision for all. @param {number[]} ticks */
export function axisNumbers(ticks) {
  const present = ticks.filter((t) => t !== null && t !== undefined);
  const largest = Math.max(...present.map(Math.abs), 0);
  const step =
    present.length > 1
      ? Math.min(...present.slice(1).map((t, i) => Math.abs(t - present[i]) || Infinity))
      : largest || 1;
  let digits = 0;
  while (digits < 9 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  const exponent = largest >= 1e6 || (largest > 0 && largest < 1e-3);
  return ticks.map((t) => {
    if (t === null || t === undefined) return "";
    if (exponent && t !== 0) {
      const shown = Math.max(
        0,
        Math.min(9, Math.floor(Math.log10(Math.abs(t)) + 1e-9) - Math.floor(Math.log10(step) + 1e-9)),
      );
      return minus(t.toExponential(shown).replace("e+", "e"));
    }
    return minus((t === 0 ? 0 : t).toFixed(digits));
  });
}

/** Labels of a logarithmic axis: powers of ten, and 2 and 5 between them when there is room for few powers. @param {(number|null)[]} ticks @param {number} decades */
export function axisPowers(ticks, decades) {
  return ticks.map((t) => {
    if (t === null || !(t > 0)) return "";
    const exponent = Math.floor(Math.log10(t) + 1e-9);
    const digit = Math.round(t / 10 ** exponent);
    if (digit !== 1 && (decades > 2.5 || (digit !== 2 && digit !== 5))) return "";
    return exponent >= -3 && exponent <= 5
      ? String(+t.toPrecision(3))
      : `${digit}e${exponent < 0 ? "−" : ""}${Math.abs(exponent)}`;
  });
}

/** `12.3 GB`. @param {number} bytes */
export function showBytes(bytes) {
  if (!Number.isFinite(bytes)) return "";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) ((bytes /= 1000), unit++);
  return `${unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}
