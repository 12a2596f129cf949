/** The dialogs of the PVs' view: which PVs, sampled how. */

import { json, wordsOf } from "./api.js";
import { h, say } from "./dom.js";

/** Period and method, in a form. */
function samplingFields() {
  const method = h(
    "select",
    { id: "method" },
    [
      ["", "as policies say"],
      ["MONITOR", "monitor: every event"],
      ["SCAN", "scan: the newest in each period"],
    ].map(([value, text]) => h("option", { value }, text)),
  );
  const period = h("input", { id: "period", inputmode: "decimal", size: 8, value: "1", disabled: true });
  method.addEventListener("change", () => (period.disabled = method.value !== "SCAN"));
  return {
    method,
    period,
    row: h(
      "p.fields",
      {},
      h("label", { for: "method" }, "Method "),
      method,
      " ",
      h("label", { for: "period" }, "Period "),
      period,
      " s",
    ),
  };
}

/** @param {string} title @param {any[]} content @param {string} action @param {() => Promise<string>|string} run what is wrong, if anything */
function dialogOf(title, content, action, run) {
  const problem = h("p.error", { role: "alert" });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title", onclose: () => dialog.remove() },
    h("h2", { id: "dialog-title" }, title),
    h(
      "form",
      {
        onsubmit: async (/** @type {Event} */ e) => {
          e.preventDefault();
          const wrong = await run();
          if (wrong) say(problem, wrong);
          else dialog.close();
        },
      },
      content,
      problem,
      h(
        "div.actions",
        {},
        h("button.primary", { type: "submit" }, action),
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {import("./pvs.js").PvsView} view */
export function addDialog(view) {
  const names = h("textarea", {
    id: "names",
    rows: 5,
    spellcheck: "false",
    autocapitalize: "off",
    placeholder: "LAB:Temperature\nLAB:Pressure",
  });
  const { method, period, row } = samplingFields();
  dialogOf(
    "Archive PVs",
    [
      h("label", { for: "names" }, "Names, one a line or with commas between them"),
      names,
      row,
      h("p.note", {}, "A PV that does not answer yet is archived as soon as it does."),
    ],
    "Archive",
    async () => {
      const list = [...new Set(/** @type {string} */ (names.value).split(/[\s,]+/).filter(Boolean))];
      if (!list.length) return "Write at least one name.";
      const wrong = badPeriod(method.value, period.value);
      if (wrong) return wrong;
      const how = method.value
        ? { samplingmethod: method.value, samplingperiod: method.value === "SCAN" ? plain(period.value) : "1.0" }
        : {};
      try {
        view.outcome(
          await json("mgmt/bpl/archivePV", { body: list.map((pv) => ({ pv, ...how })) }),
          "archived from now on",
        );
        return "";
      } catch (error) {
        return wordsOf(error);
      }
    },
  );
  names.focus();
}

/** @param {import("./pvs.js").PvsView} view */
export function samplingDialog(view) {
  const { method, period, row } = samplingFields();
  method.value = "SCAN";
  method.remove(0);
  period.disabled = false;
  dialogOf(
    `How ${view.chosen.size === 1 ? [...view.chosen][0] : `${view.chosen.size} PVs`} are sampled`,
    [row],
    "Change",
    () => {
      const wrong = badPeriod(method.value, period.value);
      if (!wrong)
        void view.act("changeArchivalParameters", "changed", {
          samplingmethod: method.value,
          samplingperiod: method.value === "SCAN" ? plain(period.value) : "1.0",
        });
      return wrong;
    },
  );
}

/** @param {import("./pvs.js").PvsView} view */
export function removeDialog(view) {
  const names = [...view.chosen];
  const waiting = names.filter((name) =>
    view.rows.some((row) => row.pvName === name && row.status === "Initial sampling"),
  );
  const rest = names.filter((name) => !waiting.includes(name));
  dialogOf(
    "Archive no more",
    [
      h(
        "p",
        {},
        `${names.length === 1 ? names[0] : `${names.length} PVs`} will not be archived any more. What is stored stays, and can still be plotted. Only paused PVs can be removed.`,
      ),
    ],
    "Remove",
    async () => {
      if (waiting.length) await view.act("abortArchivingPV", "taken back", {}, waiting);
      if (rest.length) await view.act("deletePV", "removed", {}, rest);
      return "";
    },
  );
}

/** A number as it is written for machines. @param {string} text */
const plain = (text) => text.trim().replace(",", ".");

/** @param {string} method @param {string} period */
function badPeriod(method, period) {
  const seconds = Number(plain(period));
  return method === "SCAN" && !(seconds > 0 && seconds <= 86400)
    ? "The period must be a number of seconds above 0, at most 86400."
    : "";
}
