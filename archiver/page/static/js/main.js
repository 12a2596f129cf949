/** The page: the address says what is shown; the views follow it. */

import { access } from "./access.js";
import { byId } from "./dom.js";
import { EngineView } from "./engine.js";
import { PlotView } from "./plot.js";
import { PvsView } from "./pvs.js";
import { readState, writeState } from "./state.js";
import { welcome } from "./welcome.js";

const ZONE = "owlshift-zone";

let state = readState(location.hash);
if (!/[?&]zone=/.test(location.hash)) state.utc = localStorage.getItem(ZONE) === "utc";

/** @param {Partial<import("./state.js").State>} change @param {boolean} step one that the back button undoes */
function change(change, step) {
  Object.assign(state, change);
  const hash = writeState(state);
  if (step && hash !== settledHash) {
    // the entry before this one keeps the address that it had
    history.replaceState(null, "", settledHash);
    history.pushState(null, "", hash);
    settledHash = hash;
  } else {
    history.replaceState(null, "", hash);
  }
  update();
}

const rights = access(byId("who"), () => update());
const banner = (/** @type {string} */ words) => {
  const box = byId("banner");
  if (box.textContent !== words) box.textContent = words;
  box.hidden = !words;
};
const plot = new PlotView(() => state, change, banner);
const engine = new EngineView(byId("view-engine"), () => state, banner);
const pvs = new PvsView(
  byId("view-pvs"),
  () => state,
  change,
  rights,
  (/** @type {string[]} */ names) => {
    change({ view: "plot" }, true);
    plot.add(names);
  },
);
welcome(byId("welcome"), (/** @type {string[]} */ names) => plot.add(names));

function update() {
  for (const view of ["plot", "engine", "pvs"]) byId(`view-${view}`).hidden = state.view !== view;
  for (const link of document.querySelectorAll("nav a, a.brand")) {
    const view = /** @type {any} */ (link).dataset.view ?? "plot";
    link.setAttribute("href", writeState({ ...state, view }));
    if (/** @type {any} */ (link).dataset.view) link.toggleAttribute("aria-current", view === state.view);
    if (view === state.view && /** @type {any} */ (link).dataset.view) link.setAttribute("aria-current", "page");
  }
  byId("zone").textContent = state.utc ? "UTC" : "Local";
  byId("zone").setAttribute("aria-label", `Times are shown in ${state.utc ? "UTC" : "local time"}; change`);
  if (state.view !== "plot") document.title = `${state.view === "engine" ? "Engine" : "PVs"} – owlshift archive`;
  plot.update();
  engine.update();
  pvs.update();
}

// for the browser's console, and for tests
Object.assign(window, { archivePage: { plot, state: () => state } });

let settledHash = writeState(state);
history.replaceState(null, "", settledHash);

window.addEventListener("popstate", () => {
  state = readState(location.hash);
  settledHash = writeState(state);
  update();
});
byId("zone").onclick = () => {
  localStorage.setItem(ZONE, state.utc ? "local" : "utc");
  change({ utc: !state.utc }, false);
  settledHash = writeState(state);
};
byId("skip").onclick = (/** @type {Event} */ e) => {
  e.preventDefault();
  byId("main").focus();
};
window.addEventListener("keydown", (e) => {
  const typing = e.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && state.view === "plot") {
    e.preventDefault();
    byId("search").focus();
  }
});
const dark = matchMedia("(prefers-color-scheme: dark)");
const scheme = () => (document.documentElement.dataset.scheme = dark.matches ? "dark" : "light");
dark.addEventListener("change", () => {
  scheme();
  plot.chart.colors && plot.chart.restyle();
  plot.redraw();
});
scheme();
update();
