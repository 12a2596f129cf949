/** The PVs' view: what is archived and how; and, for those who may, adding, pausing, resuming and changing it. */

import { ApiError, isAbort, json, wordsOf } from "./api.js";
import { fill, h, say, settled, toast } from "./dom.js";
import { addDialog, removeDialog, samplingDialog } from "./pvs_dialogs.js";
import { pattern } from "./source.js";
import { writeState } from "./state.js";
import { showReported } from "./times.js";

const LIMIT = 200;
const EVERY = 3000;

/** @typedef {import("./access.js").Rights} Rights */

const WORDS = /** @type {Record<string, string>} */ ({
  "Being archived": "archived",
  "Initial sampling": "waiting for the PV",
  "Not being archived": "not archived",
  Paused: "paused",
  "Appliance Down": "engine is down",
});

export class PvsView {
  /**
   * @param {HTMLElement} host @param {() => import("./state.js").State} state
   * @param {(change: Partial<import("./state.js").State>, step: boolean) => void} change
   * @param {Rights} rights @param {(names: string[]) => void} plot
   */
  constructor(host, state, change, rights, plot) {
    Object.assign(this, { host, state, change, rights, plot });
    this.host = host;
    this.state = state;
    this.change = change;
    this.rights = rights;
    this.plot = plot;
    /** @type {Set<string>} */ this.chosen = new Set();
    /** @type {any[]} */ this.rows = [];
    this.active = false;
    this.built = false;
    this.key = "";
    this.asking = new AbortController();
    window.setInterval(() => this.active && !document.hidden && void this.look(), EVERY);
  }

  update() {
    const was = this.active;
    this.active = this.state().view === "pvs";
    if (!this.active) return this.asking.abort();
    if (!this.built) this.build();
    if (this.filter !== document.activeElement) this.filter.value = this.state().filter;
    this.permissions();
    if (!was || this.looked !== this.state().filter) void this.look();
    else this.table();
  }

  build() {
    this.built = true;
    this.filter = h("input", {
      type: "search",
      id: "filter",
      placeholder: "Part of a name, or * and ?",
      "aria-label": "Which PVs: part of a name, or a pattern",
      spellcheck: "false",
      autocapitalize: "off",
      autocomplete: "off",
      oninput: settled(() => this.change({ filter: this.filter.value.trim() }, false), 200),
    });
    this.writers = h(
      "span.group.wrap",
      { role: "group", "aria-label": "Change the chosen PVs" },
      h("button", { type: "button", id: "pause", onclick: () => this.act("pauseArchivingPV", "paused") }, "Pause"),
      h("button", { type: "button", id: "resume", onclick: () => this.act("resumeArchivingPV", "resumed") }, "Resume"),
      h("button", { type: "button", id: "alter", onclick: () => samplingDialog(this) }, "Change…"),
      h("button", { type: "button", id: "remove", onclick: () => removeDialog(this) }, "Remove…"),
    );
    this.adder = h("button.primary", { type: "button", id: "add", onclick: () => addDialog(this) }, "Add PVs…");
    this.plotter = h(
      "button",
      { type: "button", id: "plot-chosen", onclick: () => this.plot([...this.chosen]) },
      "Plot",
    );
    this.note = h("p.note", { role: "status" });
    this.rightsNote = h("p.note");
    this.results = h("div", { role: "alert" });
    this.content = h("div.card.flat");
    fill(
      this.host,
      h("div.bar", {}, h("div.search", {}, this.filter), this.plotter, this.writers, h("span.right", {}, this.adder)),
      this.rightsNote,
      this.results,
      this.note,
      this.content,
    );
  }

  /** Who may not change anything does not see how. */
  permissions() {
    const may = this.rights.mayWrite();
    this.writers.hidden = this.adder.hidden = !may;
    fill(
      this.rightsNote,
      may
        ? null
        : [
            this.rights.managed()
              ? `You may look, but not change anything. ${this.rights.why()} `
              : "This archive cannot be changed over HTTP. ",
            this.rights.managed()
              ? h("button.plain", { type: "button", onclick: () => this.rights.ask() }, "Use a token…")
              : null,
          ],
    );
    this.buttons();
  }

  buttons() {
    const none = !this.chosen.size;
    for (const button of [...this.writers.children, this.plotter]) button.disabled = none;
    say(this.plotter, none ? "Plot" : `Plot ${this.chosen.size}`);
  }

  async look() {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const { filter } = this.state();
    try {
      /** @type {string[]} */
      const names = await json("mgmt/bpl/getAllPVs", { query: { regex: pattern(filter), limit: LIMIT + 1 }, signal });
      const shown = names.slice(0, LIMIT);
      const rows =
        shown.length && this.rights.managed()
          ? await json("mgmt/bpl/getPVStatus", { body: shown, signal })
          : shown.map((name) => ({ pvName: name, status: "Being archived" }));
      if (signal.aborted) return;
      this.rows = rows;
      this.looked = filter;
      const words =
        names.length > LIMIT
          ? `The first ${LIMIT}; type more of the name to see others.`
          : names.length
            ? `${names.length} ${names.length === 1 ? "PV" : "PVs"}.`
            : filter
              ? "No archived PV has such a name."
              : "Nothing is archived yet.";
      say(this.note, words);
      this.table();
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) say(this.note, wordsOf(error));
    }
  }

  table() {
    const may = this.rights.mayWrite();
    const { utc } = this.state();
    for (const name of this.chosen) if (!this.rows.some((row) => row.pvName === name)) this.chosen.delete(name);
    this.buttons();
    const key = JSON.stringify([this.rows, may, utc]);
    if (key === this.key) return;
    this.key = key;
    const focused =
      document.activeElement instanceof HTMLElement && this.content.contains(document.activeElement)
        ? document.activeElement.dataset.for
        : undefined;
    const all = h("input", {
      type: "checkbox",
      "aria-label": "Choose all",
      "data-for": "*",
      onchange: () => this.chooseAll(all.checked),
    });
    this.all = all;
    const rows = this.rows.map((row) => {
      const name = row.pvName;
      const box = h("input", {
        type: "checkbox",
        checked: this.chosen.has(name),
        "aria-label": `Choose ${name}`,
        "data-for": name,
        onchange: () => this.choose(name, box.checked),
      });
      const archived = row.status === "Being archived";
      const gone = archived && row.connectionState === "false";
      return h(
        "tr",
        { "data-pv": name },
        h("td", {}, box),
        h(
          "td.pv",
          {},
          h("a", { href: writeState({ ...this.state(), view: "plot", pvs: [{ name, hidden: false }] }) }, name),
        ),
        h(
          "td",
          {},
          h(
            "span.alarm",
            {
              class:
                gone || row.status === "Appliance Down"
                  ? "severity-2"
                  : archived
                    ? "fine"
                    : row.status === "Paused"
                      ? "pause"
                      : "severity-1",
            },
            gone ? "disconnected" : (WORDS[row.status] ?? row.status),
          ),
        ),
        h(
          "td",
          { "data-label": "method" },
          row.isMonitored === undefined ? "" : row.isMonitored === "true" ? "monitor" : "scan",
        ),
        h("td.number", { "data-label": "period" }, row.isMonitored === "false" ? `${row.samplingPeriod} s` : ""),
        h("td", { "data-label": "last event" }, showReported(row.lastEvent, utc)),
        h("td", { "data-label": "engine" }, row.appliance ?? ""),
      );
    });
    fill(
      this.content,
      rows.length
        ? h(
            "div.scroll",
            { tabindex: "0", role: "region", "aria-label": "PVs" },
            h(
              "table.pvs",
              {},
              h(
                "thead",
                {},
                h(
                  "tr",
                  {},
                  h("th", { scope: "col" }, all),
                  ["PV", "Status", "Method"].map((t) => h("th", { scope: "col" }, t)),
                  h("th.number", { scope: "col" }, "Period"),
                  ["Last event", "Engine"].map((t) => h("th", { scope: "col" }, t)),
                ),
              ),
              h("tbody", {}, rows),
            ),
          )
        : null,
    );
    if (focused)
      /** @type {any} */ (
        [...this.content.querySelectorAll("input")].find((input) => input.dataset.for === focused)
      )?.focus();
    this.marks();
  }

  /** @param {string} name @param {boolean} on */
  choose(name, on) {
    if (on) this.chosen.add(name);
    else this.chosen.delete(name);
    this.marks();
    this.buttons();
  }

  /** @param {boolean} on */
  chooseAll(on) {
    this.chosen = new Set(on ? this.rows.map((row) => row.pvName) : []);
    for (const box of this.content.querySelectorAll("tbody input")) box.checked = on;
    this.marks();
    this.buttons();
  }

  marks() {
    if (!this.all) return;
    this.all.checked = this.chosen.size > 0 && this.chosen.size === this.rows.length;
    this.all.indeterminate = this.chosen.size > 0 && this.chosen.size < this.rows.length;
  }

  // Changes

  /** @param {string} call @param {string} done @param {Record<string, string>} [query] @param {string[]} [names] */
  async act(call, done, query = {}, names = [...this.chosen]) {
    fill(this.results);
    try {
      const answer = await json(`mgmt/bpl/${call}`, { query, body: names });
      this.outcome(Array.isArray(answer) ? answer : [answer], done);
    } catch (error) {
      this.failed(error);
    }
  }

  /** @param {any[]} answers @param {string} done */
  outcome(answers, done) {
    const bad = answers.filter((a) => a.status !== "ok" && a.status !== "Archive request submitted");
    const good = answers.length - bad.length;
    if (good) toast(`${good} ${good === 1 ? "PV is" : "PVs are"} ${done}.`);
    fill(
      this.results,
      bad.length
        ? h(
            "div.card",
            {},
            h("h2", {}, `${bad.length} of ${answers.length} could not be done`),
            h(
              "ul",
              {},
              bad
                .slice(0, 50)
                .map((a) =>
                  h("li", {}, h("b", {}, a.pvName ?? ""), ` ${a.validation || a.desc || a.status || "refused"}`),
                ),
            ),
          )
        : null,
    );
    if (good) this.chooseAll(false);
    this.key = "";
    void this.look();
  }

  /** @param {unknown} error */
  failed(error) {
    const denied = error instanceof ApiError && (error.status === 401 || error.status === 403);
    fill(
      this.results,
      h(
        "div.card",
        {},
        h("p.error", {}, wordsOf(error)),
        denied ? h("button", { type: "button", onclick: () => this.rights.ask() }, "Use a token…") : null,
      ),
    );
  }
}
