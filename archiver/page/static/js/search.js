/** The field in which PVs are looked for: a combobox with a list of what fits, worked by mouse or by keyboard alone. */

import { isAbort, wordsOf } from "./api.js";
import { fill, h, settled } from "./dom.js";
import { search } from "./source.js";

const LIMIT = 50;
const ALL = 16;

/**
 * @param {HTMLInputElement} input @param {HTMLElement} list @param {HTMLElement} note
 * @param {(names: string[]) => void} choose
 */
export function searchBox(input, list, note, choose) {
  /** @type {AbortController|null} */ let running = null;
  /** @type {string[][]} what each row of the list stands for */ let rows = [];
  let active = -1;

  const close = () => {
    running?.abort();
    list.hidden = true;
    note.textContent = "";
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const activate = (/** @type {number} */ index) => {
    active = index;
    for (const [i, row] of [...list.children].entries()) row.setAttribute("aria-selected", String(i === index));
    if (index < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[index].id);
    list.children[index].scrollIntoView({ block: "nearest" });
  };

  const take = (/** @type {number} */ index) => {
    const names = rows[index];
    if (!names) return;
    input.value = "";
    close();
    choose(names);
  };

  const show = (/** @type {string[]} */ names) => {
    const more = names.length > LIMIT;
    const shown = ranked(names.slice(0, LIMIT), input.value.trim());
    rows = shown.map((name) => [name]);
    if (!more && shown.length > 1 && shown.length <= ALL) rows.push(shown);
    fill(
      list,
      rows.map((row, i) =>
        h(
          "li",
          {
            role: "option",
            id: `match-${i}`,
            "aria-selected": "false",
            class: row.length > 1 ? "all" : null,
            onmousedown: (/** @type {Event} */ e) => e.preventDefault(),
            onclick: () => take(i),
          },
          row.length > 1 ? `All ${row.length} of these` : row[0],
        ),
      ),
    );
    list.hidden = !rows.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    note.textContent = !shown.length
      ? "No archived PV has such a name."
      : more
        ? `The first ${LIMIT}; type more to see others.`
        : "";
    activate(rows.length ? 0 : -1);
  };

  const look = settled(async () => {
    const typed = input.value.trim();
    running?.abort();
    if (!typed) return close();
    running = new AbortController();
    const { signal } = running;
    try {
      const names = await search(typed, LIMIT + 1, signal);
      if (!signal.aborted && document.activeElement === input) show(names);
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) {
        list.hidden = true;
        note.textContent = wordsOf(error);
      }
    }
  }, 120);

  input.addEventListener("input", look);
  input.addEventListener("focus", () => input.value.trim() && look());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (e) => {
    const count = rows.length;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      if (list.hidden) return look();
      activate((active + (e.key === "ArrowDown" ? 1 : -1) + count) % count);
    } else if (e.key === "Enter") {
      e.preventDefault();
      if (!list.hidden && active >= 0) take(active);
    } else if (e.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
    }
  });
}

/** Names as typed first, then those that begin so, then the others. @param {string[]} names @param {string} typed */
function ranked(names, typed) {
  const small = typed.toLowerCase();
  const rank = (/** @type {string} */ name) =>
    name === typed ? 0 : name.toLowerCase() === small ? 1 : name.toLowerCase().startsWith(small) ? 2 : 3;
  return names
    .map((name) => ({ name, r: rank(name) }))
    .sort((a, b) => a.r - b.r || (a.name < b.name ? -1 : 1))
    .map((x) => x.name);
}
