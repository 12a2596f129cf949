/** The lists of the engine's view: management's reports, and the audit log, as tables. */

import { json, wordsOf } from "./api.js";
import { fill, h } from "./dom.js";
import { showBytes, showCount, showNumber } from "./numbers.js";
import { showMoment, showReported } from "./times.js";

const LIMIT = 200;

/**
 * @typedef {object} Column
 * @property {string} key @property {string} title
 * @property {"pv"|"text"|"count"|"rate"|"bytes"|"iso"|"change"} [as]
 */

/** @type {Record<string, {title: string, call: string, none: string, columns: Column[]}>} */
export const REPORTS = {
  disconnected: {
    title: "Disconnected",
    call: "mgmt/bpl/getCurrentlyDisconnectedPVs",
    none: "All archived PVs are connected.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "connectionLostAt", title: "Lost at" },
      { key: "lastKnownEvent", title: "Last event" },
      { key: "hostName", title: "Server" },
      { key: "instance", title: "Engine" },
    ],
  },
  never: {
    title: "Never connected",
    call: "mgmt/bpl/getNeverConnectedPVs",
    none: "Every PV that was asked for has connected.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "requestTime", title: "Requested" },
      { key: "currentState", title: "State" },
      { key: "appliance", title: "Engine" },
    ],
  },
  paused: {
    title: "Paused",
    call: "mgmt/bpl/getPausedPVsReport",
    none: "No PV is paused.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "modificationTime", title: "Since" },
      { key: "instance", title: "Engine" },
    ],
  },
  silent: {
    title: "Silent",
    call: "mgmt/bpl/getSilentPVsReport",
    none: "No PV is connected.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "lastKnownEvent", title: "Last event" },
      { key: "instance", title: "Engine" },
    ],
  },
  rates: {
    title: "Most events",
    call: "mgmt/bpl/getEventRateReport",
    none: "Nothing is archived.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "eventRate", title: "Events/s", as: "rate" },
    ],
  },
  storage: {
    title: "Most bytes",
    call: "mgmt/bpl/getStorageRateReport",
    none: "Nothing is archived.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "storageRate_MBperDay", title: "MiB/day, as received", as: "rate" },
      { key: "storageRate_GBperYear", title: "GiB/year", as: "rate" },
    ],
  },
  losses: {
    title: "Lost connections",
    call: "mgmt/bpl/getLostConnectionsReport",
    none: "No connection was ever lost.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "lostConnections", title: "Times", as: "count" },
      { key: "currentlyConnected", title: "Connected now" },
      { key: "instance", title: "Engine" },
    ],
  },
  dropped: {
    title: "Dropped",
    call: "mgmt/bpl/getDroppedEventsReport",
    none: "No sample was ever dropped.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "eventsDropped", title: "Lost", as: "count" },
      { key: "time", title: "by time stamp", as: "count" },
      { key: "overflow", title: "by overflow", as: "count" },
      { key: "type", title: "by type", as: "count" },
      { key: "scan", title: "left out by period", as: "count" },
      { key: "deadband", title: "by dead-band", as: "count" },
      { key: "totalEvents", title: "of events", as: "count" },
    ],
  },
  added: {
    title: "Recently added",
    call: "mgmt/bpl/getRecentlyAddedPVs",
    none: "Nothing is archived.",
    columns: [
      { key: "pvName", title: "PV", as: "pv" },
      { key: "creationTime", title: "Added" },
      { key: "instance", title: "Engine" },
    ],
  },
  audit: {
    title: "Audit log",
    call: "api/audit",
    none: "Nobody has changed anything yet.",
    columns: [
      { key: "time", title: "Time", as: "iso" },
      { key: "user", title: "Who" },
      { key: "host", title: "From" },
      { key: "what", title: "What" },
      { key: "pv", title: "PV", as: "pv" },
      { key: "after", title: "Change", as: "change" },
    ],
  },
};

/**
 * Ask for a report and show it.
 * @param {HTMLElement} host @param {string} name @param {boolean} utc @param {(pv: string) => string} linkTo @param {AbortSignal} signal
 */
export async function showReport(host, name, utc, linkTo, signal) {
  const report = REPORTS[name];
  let rows;
  try {
    rows = await json(report.call, { query: { limit: LIMIT + 1 }, signal });
  } catch (error) {
    if (!signal.aborted) fill(host, h("p.error", { role: "alert" }, wordsOf(error)));
    return;
  }
  if (signal.aborted) return;
  if (!rows.length) return fill(host, h("p.note", {}, report.none));
  const body = rows.slice(0, LIMIT).map((/** @type {any} */ row) =>
    h(
      "tr",
      { class: row.refused ? "refused" : null },
      report.columns.map((column) => cell(column, row, utc, linkTo)),
    ),
  );
  const scrolled = host.querySelector(".scroll")?.scrollTop ?? 0;
  fill(
    host,
    rows.length > LIMIT ? h("p.note", {}, `The first ${LIMIT}.`) : null,
    h(
      "div.scroll.tall",
      { tabindex: "0", role: "region", "aria-label": report.title },
      h(
        "table",
        {},
        h("caption.hidden", {}, report.title),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            report.columns.map((c) => h("th", { scope: "col", class: numeric(c) ? "number" : null }, c.title)),
          ),
        ),
        h("tbody", {}, body),
      ),
    ),
  );
  const scroll = host.querySelector(".scroll");
  if (scroll) scroll.scrollTop = scrolled;
}

/** @param {Column} column */
const numeric = (column) => column.as === "count" || column.as === "rate" || column.as === "bytes";

/** @param {Column} column @param {any} row @param {boolean} utc @param {(pv: string) => string} linkTo */
function cell(column, row, utc, linkTo) {
  const value = row[column.key];
  if (column.as === "pv") return h("td.pv", {}, value ? h("a", { href: linkTo(value) }, value) : null);
  if (column.as === "count") return h("td.number", {}, value === undefined ? "" : showCount(Number(value)));
  if (column.as === "rate")
    return h("td.number", {}, showNumber(Number(value), Number(value) >= 0.01 || Number(value) === 0 ? 2 : null));
  if (column.as === "bytes") return h("td.number", {}, showBytes(Number(value)));
  if (column.as === "iso") return h("td", {}, h("time", {}, showMoment(Date.parse(value), utc)));
  if (column.as === "change")
    return h(
      "td",
      {},
      row.refused ? h("span.alarm.severity-2", {}, "refused") : null,
      row.refused ? " " : null,
      changeText(row),
    );
  return h("td", {}, value === null || value === undefined ? "" : showReported(String(value), utc));
}

/** What an audit row changed, in words. @param {any} row */
function changeText(row) {
  const show = (/** @type {any} */ v) =>
    v && typeof v === "object"
      ? Object.entries(v)
          .filter(([, x]) => x !== null && x !== "")
          .map(([k, x]) => `${k} ${typeof x === "object" ? JSON.stringify(x) : x}`)
          .join(", ")
      : v === null || v === undefined
        ? ""
        : String(v);
  const [before, after] = [show(row.before), show(row.after)];
  return before && after ? `${before} → ${after}` : after || before;
}
