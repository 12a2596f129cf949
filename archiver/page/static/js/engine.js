/** The engine's view: whether the archive records, how much, what it lost and how long the disk lasts; and lists of PVs. */

import { ApiError, isAbort, json, wordsOf } from "./api.js";
import { fill, h } from "./dom.js";
import { showBytes, showCount, showNumber } from "./numbers.js";
import { REPORTS, showReport } from "./reports.js";
import { writeState } from "./state.js";
import { showMoment, showSpan } from "./times.js";

const ONLY = "appliance0"; // what an archive's only engine is called where a name is wanted
const EVERY = 2000;
const LISTS_EVERY = 10_000;

const STATES = /** @type {Record<string, string>} */ ({
  recording: "recording",
  disk_full: "the disk is full: samples wait in memory",
  unwritable: "the archive cannot be written: samples wait in memory",
  stopped: "stopped",
});

const CAUSES = /** @type {Record<string, string>} */ ({
  bad_time: "time stamp before 1991: no clock, or a record that was never processed",
  future: "time stamp too far in the future",
  duplicate: "the same time stamp as the sample before: sent again after a reconnect",
  out_of_order: "older than the newest sample of its PV",
  scan: "left out as asked: more than one in a period",
  deadband: "left out as asked: within the dead-band",
  controlling: "left out as asked: the controlling PV was off",
  overflow: "the queue was full: the disk took less than came in",
  disk_full: "the queue was full while the disk was",
  unwritable: "the queue was full while the archive could not be written",
  unsubscribed: "on its way while its PV was taken off the list",
  damaged: "in a part of the log that a crash or the disk destroyed",
  type: "of another type than the PV's",
});
const ASKED = new Set(["scan", "deadband", "controlling", "duplicate"]);
const TIERS = ["log", "minutes", "days", "months"];

export class EngineView {
  /** @param {HTMLElement} host @param {() => import("./state.js").State} state @param {(words: string) => void} banner */
  constructor(host, state, banner) {
    this.host = host;
    this.state = state;
    this.banner = banner;
    this.list = "disconnected";
    this.built = false;
    this.active = false;
    this.asking = new AbortController();
    this.listing = new AbortController();
    window.setInterval(() => this.active && !document.hidden && void this.look(), EVERY);
    window.setInterval(() => this.active && !document.hidden && void this.showList(), LISTS_EVERY);
  }

  update() {
    const was = this.active;
    this.active = this.state().view === "engine";
    if (!this.active) return this.asking.abort();
    if (!this.built) this.build();
    if (!was) void this.look();
    void this.showList();
  }

  build() {
    this.built = true;
    this.engines = h("div");
    this.body = h("div.report");
    this.tabs = h(
      "div.group.wrap",
      { role: "tablist", "aria-label": "Lists" },
      Object.entries(REPORTS).map(([name, report]) =>
        h(
          "button",
          {
            type: "button",
            role: "tab",
            id: `tab-${name}`,
            "aria-controls": "report",
            onclick: () => this.choose(name),
            onkeydown: (/** @type {KeyboardEvent} */ e) => this.move(e),
          },
          report.title,
        ),
      ),
    );
    this.body.id = "report";
    this.body.setAttribute("role", "tabpanel");
    fill(this.host, this.engines, h("section.card", {}, this.tabs, this.body));
    this.choose(this.list);
  }

  /** @param {string} name */
  choose(name) {
    this.list = name;
    for (const tab of this.tabs.children) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.setAttribute("aria-pressed", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.body.setAttribute("aria-labelledby", `tab-${name}`);
    fill(this.body, h("p.note", {}, "…"));
    void this.showList();
  }

  /** @param {KeyboardEvent} e */
  move(e) {
    const side = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!side) return;
    e.preventDefault();
    const names = Object.keys(REPORTS);
    const next = names[(names.indexOf(this.list) + side + names.length) % names.length];
    this.choose(next);
    document.getElementById(`tab-${next}`)?.focus();
  }

  async showList() {
    this.listing.abort();
    this.listing = new AbortController();
    const link = (/** @type {string} */ pv) =>
      writeState({ ...this.state(), view: "plot", pvs: [{ name: pv, hidden: false }] });
    await showReport(this.body, this.list, this.state().utc, link, this.listing.signal);
  }

  async look() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const status = await json("api/status", { signal });
      this.banner("");
      if (!signal.aborted) this.show(status);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      if (error instanceof ApiError && error.status === 404)
        fill(this.engines, h("p.card.note", {}, "This server says nothing of its engine."));
      else this.banner(`${wordsOf(error)} The page goes on trying.`);
    }
  }

  /** @param {any} status */
  show(status) {
    const opened = new Set([...this.engines.querySelectorAll("details[open]")].map((d) => d.id));
    const focused = document.activeElement?.closest("#view-engine details")?.id;
    const several = status.engines.length > 1;
    fill(
      this.engines,
      status.ledger
        ? h(
            "p.card.error",
            { role: "alert" },
            `What people asked for cannot be read or changed; what was last known goes on. (${status.ledger})`,
          )
        : null,
      several ? h("div.card", {}, h("h2", {}, "All engines"), h("dl.facts", {}, allFacts(status))) : null,
      status.engines.map((/** @type {any} */ engine) =>
        engineCard(engine, this.state().utc, several ? null : status, opened),
      ),
      status.engines.length ? null : h("p.card", {}, "No engine has written into this archive yet."),
      unreadable(status.unreadable),
    );
    if (focused) document.getElementById(focused)?.querySelector("summary")?.focus();
  }
}

/** @param {string} title @param {any} value @param {string} [note] @param {string} [kind] */
function fact(title, value, note = "", kind = "") {
  return h(
    "div",
    { class: kind || null },
    h("dt", {}, title),
    h("dd", {}, h("b", {}, value), note ? h("span.note", {}, ` ${note}`) : null),
  );
}

/** @param {any} status */
function allFacts(status) {
  const { pvs } = status;
  return [
    fact(
      "PVs",
      showCount(pvs.archived + pvs.initial + pvs.paused),
      `${showCount(pvs.connected)} connected, ${showCount(pvs.initial)} never yet, ${showCount(pvs.paused)} paused`,
    ),
    fact("Events", `${showNumber(status.event_rate, 1)} /s`),
    fact("Received", `${showBytes(status.byte_rate)}/s`),
  ];
}

/** @param {any} e an engine's engine.json @param {boolean} utc @param {any} status of the whole archive, when this is its only engine @param {Set<string>} opened */
function engineCard(e, utc, status, opened) {
  const state = !e.alive ? "stopped" : e.state;
  const good = e.alive && e.state === "recording";
  if (e.updated === undefined)
    return h(
      "div.card.engine",
      { "data-engine": e.name },
      h("h2", {}, "Engine ", h("span.alarm.severity-2", {}, "not running")),
      h("p.note", {}, "No engine writes into this archive. What is stored can be looked at."),
    );
  const words = !e.alive ? `no sign of life since ${showMoment(e.updated * 1000, utc)}` : (STATES[state] ?? state);
  const dropped = Object.entries(e.dropped ?? {}).filter(([, n]) => Number(n) > 0);
  const lost = dropped.filter(([why]) => !ASKED.has(why)).reduce((sum, [, n]) => sum + Number(n), 0);
  const days = e.bytes_per_day > 0 ? e.disk_free / e.bytes_per_day : Infinity;
  const queue = e.queue_limit ? e.queue_bytes / e.queue_limit : 0;
  const known = status?.pvs;
  const id = `drops-${e.name}`;
  return h(
    "div.card.engine",
    { "data-engine": e.name },
    h(
      "h2",
      {},
      e.name === ONLY ? "Engine " : `Engine ${e.name} `,
      h("span.alarm", { class: good ? "fine" : e.alive ? "severity-1" : "severity-2" }, words),
      e.alive ? h("span.note", {}, ` up for ${showSpan(Math.max(0, (e.updated - e.started) * 1000))}`) : null,
    ),
    h(
      "dl.facts",
      {},
      fact(
        "PVs",
        showCount(e.pvs),
        [
          `${showCount(e.connected)} connected`,
          e.never_connected ? `${showCount(e.never_connected)} never yet` : "",
          e.paused_pvs ? `${showCount(e.paused_pvs)} paused` : "",
          e.off_pvs ? `${showCount(e.off_pvs)} off` : "",
          known?.aliases ? `${showCount(known.aliases)} aliases` : "",
        ]
          .filter(Boolean)
          .join(", "),
      ),
      fact("Disconnected", showCount(e.disconnected), "", e.disconnected ? "warn" : ""),
      fact("Received", `${showNumber(e.event_rate, 1)} /s`, `${showCount(e.received)} samples so far`),
      fact(
        "Written",
        `${showNumber(e.store_rate, 1)} /s`,
        e.bytes_per_day === undefined ? "" : `${showBytes(e.bytes_per_day)} a day`,
      ),
      fact(
        "Lag",
        `${showNumber(e.lag, 2)} s`,
        e.waiting ? `${showCount(e.waiting)} samples wait` : "",
        e.lag > 5 ? "warn" : "",
      ),
      fact(
        "Queue",
        `${Math.round(queue * 100)} %`,
        e.paused ? "servers are asked to wait" : "",
        queue > 0.5 ? "warn" : "",
      ),
      fact(
        "Disk left",
        Number.isFinite(days) && days < 36500 ? showSpan(days * 86400e3) : showBytes(e.disk_free),
        Number.isFinite(days)
          ? `${showBytes(e.disk_free)} of ${showBytes(e.disk_total)} free`
          : `of ${showBytes(e.disk_total)}`,
        days < 7 || e.disk_free < 1e9 ? "warn" : "",
      ),
      fact("Lost", showCount(lost), lost ? "samples, see below" : "samples", lost ? "warn" : ""),
      e.quarantined?.length
        ? fact("Quarantine", showCount(e.quarantined.length), "files that could not be used", "warn")
        : null,
    ),
    segments(e),
    dropped.length
      ? h(
          "details",
          { id, open: opened.has(id) || lost > 0 },
          h("summary", {}, `${showCount(dropped.reduce((sum, [, n]) => sum + Number(n), 0))} samples were not kept`),
          h(
            "table.plain",
            {},
            h(
              "tbody",
              {},
              dropped.map(([why, n]) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, why),
                  h("td.number", {}, showCount(Number(n))),
                  h("td", {}, CAUSES[why] ?? ""),
                ),
              ),
            ),
          ),
        )
      : null,
  );
}

/** Bytes and files of each tier. @param {any} e */
function segments(e) {
  const tiers = e.tiers ?? { all: { segments: e.segments, bytes: e.segment_bytes } };
  const rows = [
    { name: "log", bytes: e.log_bytes, count: e.logs_waiting, what: e.logs_waiting === 1 ? "log waits" : "logs wait" },
  ];
  for (const name of Object.keys(tiers).sort((a, b) => TIERS.indexOf(a) - TIERS.indexOf(b)))
    rows.push({
      name: name === "all" ? "segments" : name,
      bytes: tiers[name].bytes,
      count: tiers[name].segments,
      what: tiers[name].segments === 1 ? "segment" : "segments",
    });
  return h(
    "div.tiers",
    { role: "list", "aria-label": "Segments by tier" },
    rows.map((row) =>
      h(
        "div",
        { role: "listitem" },
        h("span.note", {}, row.name),
        h("b", {}, showBytes(row.bytes ?? 0)),
        h("span.note", {}, `${showCount(row.count ?? 0)} ${row.what}`),
      ),
    ),
  );
}

/** @param {Record<string, string>|undefined} files */
function unreadable(files) {
  const found = Object.entries(files ?? {});
  return found.length
    ? h(
        "div.card",
        { role: "alert" },
        h("h2", {}, `${found.length} damaged ${found.length === 1 ? "file is" : "files are"} left out of all answers`),
        h(
          "ul",
          {},
          found.slice(0, 20).map(([name, why]) => h("li", {}, h("code", {}, name), ` ${why}`)),
        ),
      )
    : null;
}
