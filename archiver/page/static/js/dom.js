/** Elements, made without markup: every text is a text node, so that no name or label can become anything else. */

/**
 * @param {string} tag `div`, `button.plain`, `td.number`
 * @param {Record<string, any>} [attributes] `onclick: f`, `class`, `data-…`, `aria-…`; false and null leave it out
 * @param {...any} children nodes, texts, numbers, or lists of these
 * @returns {any} the element
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = [element.className, value].filter(Boolean).join(" ");
    else if (key in PROPERTIES) /** @type {any} */ (element)[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  put(element, ...children);
  return element;
}

const PROPERTIES = { value: 1, checked: 1, disabled: 1, indeterminate: 1 };

/** Append children to an element; falsy ones (but 0) are left out. @param {Node} element @param {...any} children */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replace an element's children. @param {Element} element @param {...any} children */
export function fill(element, ...children) {
  element.replaceChildren();
  put(element, ...children);
}

/** Set a text only when it changed: screen readers and layout stay quiet. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The element with this id. @param {string} id @returns {any} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

let toastTimer = 0;

/** Tell the user something for some seconds. @param {string} text @param {boolean} [bad] */
export function toast(text, bad = false) {
  const box = byId("toast");
  box.className = bad ? "toast bad" : "toast";
  say(box, text);
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => (box.hidden = true), bad ? 8000 : 3500);
}

/** `f` called once, `ms` after the last of several calls. @param {(...a: any[]) => void} f @param {number} ms */
export function settled(f, ms) {
  let timer = 0;
  return (/** @type {any[]} */ ...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => f(...args), ms);
  };
}

/** A colour or length of the style sheet, such as `--ink`. @param {string} name */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Give the user a file. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
