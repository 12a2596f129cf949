/** Who the user is to the archive, and whether they may change anything. */

import { ApiError, getToken, json, setToken, wordsOf } from "./api.js";
import { h, say, toast } from "./dom.js";

/**
 * @typedef {object} Rights
 * @property {() => boolean} mayWrite
 * @property {() => string} why
 * @property {() => boolean} managed whether this archive can be changed over HTTP at all
 * @property {() => void} ask open the dialog in which a token is typed in
 */

/** @param {HTMLElement} button shows who it is @param {() => void} changed @returns {Rights} */
export function access(button, changed) {
  let me = { user: "", may_write: false, why: "" };
  let managed = true;

  async function look() {
    try {
      // by POST: browsers then say which page asks, even where they say it of nothing else
      me = await json("api/whoami", { body: {} });
      managed = true;
    } catch (error) {
      me = { user: "", may_write: false, why: wordsOf(error) };
      managed = !(error instanceof ApiError && error.status === 404);
      if (error instanceof ApiError && error.status === 401) toast(wordsOf(error), true);
    }
    button.hidden = !managed;
    say(button, me.user || "sign in");
    button.title = me.may_write
      ? `${me.user} may add, pause and resume PVs.`
      : `${me.user || "You"} may look, but not change anything.`;
    button.dataset.may = String(me.may_write);
    changed();
    return me;
  }

  function ask() {
    const input = h("input", {
      type: "password",
      id: "token",
      value: getToken(),
      autocomplete: "off",
      spellcheck: "false",
      size: 36,
    });
    const result = h("p", { role: "status" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "token-title", onclose: () => dialog.remove() },
      h("h2", { id: "token-title" }, "Who you are"),
      h(
        "p",
        {},
        me.user ? h("b", {}, me.user) : "Unknown",
        me.may_write ? ": may add, pause and resume PVs." : ": may look, but not change anything.",
        me.why ? h("span.note", {}, ` ${me.why}`) : null,
      ),
      h(
        "form",
        {
          onsubmit: async (/** @type {Event} */ e) => {
            e.preventDefault();
            setToken(input.value.trim());
            say(result, "…");
            const now = await look();
            if (getToken() && !now.may_write) say(result, `With this token nothing may be changed. ${now.why ?? ""}`);
            else {
              dialog.close();
              toast(getToken() ? `Signed in as ${now.user}.` : "The token is forgotten.");
            }
          },
        },
        h("label", { for: "token" }, "Token "),
        input,
        h("p.note", {}, "It is kept until this tab is closed, and sent to this archive only. An empty one signs out."),
        result,
        h(
          "div.actions",
          {},
          h("button", { type: "submit" }, "Use it"),
          h("button", { type: "button", onclick: () => dialog.close() }, "Close"),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  }

  button.onclick = ask;
  void look();
  return { mayWrite: () => me.may_write, why: () => me.why, managed: () => managed, ask };
}
