/** What an empty plot says: how to begin, and some PVs to begin with. */

import { json } from "./api.js";
import { fill, h } from "./dom.js";

/** @param {HTMLElement} host @param {(names: string[]) => void} add */
export function welcome(host, add) {
  fill(
    host,
    h("h1", {}, "Which PVs?"),
    h(
      "p",
      {},
      "Type part of a name above, for example ",
      h("kbd", {}, "l07 vmon"),
      " or ",
      h("kbd", {}, "*:VMon"),
      ", and choose with ",
      h("kbd", {}, "↑"),
      " ",
      h("kbd", {}, "↓"),
      " ",
      h("kbd", {}, "Enter"),
      ".",
    ),
  );
  const list = h("p.examples");
  host.append(list);
  somePvs().then(
    (names) =>
      fill(
        list,
        names.length ? "Or one of these: " : "Nothing is archived yet.",
        names.map((/** @type {string} */ name) => [
          h("button", { type: "button", onclick: () => add([name]) }, name),
          " ",
        ]),
      ),
    () => {},
  );
}

/** Those that change most; without an engine the first ones. @returns {Promise<string[]>} */
async function somePvs() {
  const busy = await json("mgmt/bpl/getEventRateReport", { query: { limit: 5 } }).catch(() => []);
  if (busy.length) return busy.map((/** @type {{pvName: string}} */ row) => row.pvName);
  return await json("retrieval/bpl/getMatchingPVs", { query: { pv: "*", limit: 5 } });
}
