/** The dialog with what can be taken home: samples as files, straight from the archive, and the plot as a picture. */

import { address } from "./api.js";
import { download, h } from "./dom.js";
import { showCount } from "./numbers.js";
import { iso, showMoment, zoneName } from "./times.js";

const FORMATS = [
  ["csv", "CSV", "secs, value, severity, status, nanos; no heading"],
  ["json", "JSON", "with metadata"],
  ["mat", "MATLAB", "version 5 .mat"],
];

/**
 * @param {import("./plot.js").Item[]} items @param {{from: number, to: number}} window @param {boolean} utc
 * @param {import("./chart.js").Chart} chart
 */
export function downloadDialog(items, { from, to }, utc, chart) {
  const query = { from: iso(from), to: iso(to) };
  const stamp = iso(from).replace(/[:.]/g, "").slice(0, 15);
  const file = (/** @type {string} */ name, /** @type {string} */ extension) =>
    `${name.replace(/[^A-Za-z0-9_.-]+/g, "_")}_${stamp}.${extension}`;
  const known = items.filter((item) => item.pv);
  const title = `${showMoment(from, utc)} to ${showMoment(to, utc)} ${zoneName(to, utc)}`;
  const link = (/** @type {import("./plot.js").Item} */ item, /** @type {string[]} */ [extension, label]) =>
    h(
      "a.button",
      {
        href: address(`retrieval/data/getData.${extension}`, { pv: item.name, ...query }),
        download: file(item.name, extension),
        "aria-label": `${item.name} as ${label}`,
      },
      label,
    );
  const size = (/** @type {import("./plot.js").Item} */ item) =>
    item.count ?? item.statistics?.statistics(from / 1000, to / 1000)?.count ?? null;
  const picture = async () => {
    const lines = items
      .filter((item) => !item.hidden)
      .map(
        (item) =>
          `${item.letter}  ${item.name}${item.pv?.unit ? `  [${item.pv.unit}]` : ""}${item.pv?.description ? `  ${item.pv.description}` : ""}`,
      );
    download(await chart.picture(title, lines), file(items[0]?.name ?? "plot", "png"));
  };
  const dialog = h(
    "dialog",
    { "aria-labelledby": "download-title", onclose: () => dialog.remove() },
    h("h2", { id: "download-title" }, "Download"),
    h("p.note", {}, `All samples as they were archived, ${title}.`),
    h(
      "ul.files",
      {},
      known.map((item) => {
        const n = size(item);
        return h(
          "li",
          {},
          h("span.name", {}, item.name, n === null ? null : h("span.note", {}, ` ${showCount(n)} samples`)),
          h(
            "span.group",
            {},
            FORMATS.map((format) => link(item, format)),
          ),
        );
      }),
    ),
    h("p.note", {}, FORMATS.map(([, label, what]) => `${label}: ${what}`).join(". ") + "."),
    h(
      "div.actions",
      {},
      known.length > 1 &&
        h(
          "a.button",
          {
            href: address("retrieval/data/getDataForPVs.json", { pv: known.map((item) => item.name), ...query }),
            download: file("archive", "json"),
          },
          "All in one JSON",
        ),
      h("button", { type: "button", onclick: () => void picture() }, "Plot as PNG"),
      h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Close"),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
