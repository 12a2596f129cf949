/** What is shown, as the part of the address after `#`: `#plot?pv=A&pv=B&from=-1h&to=now&zone=utc`. */

/**
 * @typedef {object} State
 * @property {"plot"|"engine"|"pvs"} view
 * @property {{name: string, hidden: boolean}[]} pvs
 * @property {string} from a relative text such as `-1h`, or ISO 8601 in UTC
 * @property {string} to `now`, or ISO 8601 in UTC
 * @property {boolean} utc
 * @property {boolean} straight lines between samples instead of steps
 * @property {string[]} logs units whose axis is logarithmic
 * @property {string} filter of the PVs' view
 */

export const MAX_PVS = 26;
const VIEWS = ["plot", "engine", "pvs"];

/** @param {string} hash @returns {State} */
export function readState(hash) {
  const [view, query = ""] = splitOnce(hash.replace(/^#/, ""), "?");
  const values = new URLSearchParams(query);
  const hidden = new Set(values.getAll("hide"));
  const names = [...new Set(values.getAll("pv").filter(Boolean))].slice(0, MAX_PVS);
  return {
    view: /** @type {State["view"]} */ (VIEWS.includes(view) ? view : "plot"),
    pvs: names.map((name) => ({ name, hidden: hidden.has(name) })),
    from: values.get("from") || "-1h",
    to: values.get("to") || "now",
    utc: values.get("zone") === "utc",
    straight: values.get("line") === "straight",
    logs: values.getAll("log"),
    filter: values.get("filter") ?? "",
  };
}

/** @param {State} state @returns {string} with the `#` */
export function writeState(state) {
  const values = new URLSearchParams();
  for (const { name } of state.pvs) values.append("pv", name);
  values.set("from", state.from);
  values.set("to", state.to);
  if (state.utc) values.set("zone", "utc");
  if (state.straight) values.set("line", "straight");
  for (const unit of state.logs) values.append("log", unit);
  for (const { name, hidden } of state.pvs) if (hidden) values.append("hide", name);
  if (state.filter) values.set("filter", state.filter);
  return `#${state.view}?${values.toString().replaceAll("%3A", ":")}`;
}

/** @param {string} text @param {string} separator */
function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
