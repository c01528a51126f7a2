// Numbers as people read them, and tables of them.

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

/** A value in four digits, or all of a whole number. */
export function short(value) {
  if (value === null || value === undefined) {
    return "–";
  }
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  }
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e12) {
    return WHOLE.format(value);
  }
  return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : SHORT.format(value);
}

export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; texts stay texts, whatever is in them. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** Rows of cells as a table; the first cell of each row is its header. */
export function table(headers, rows, caption) {
  const head = element("tr", {}, ...headers.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...cells]) => element(
    "tr",
    {},
    element("th", { scope: "row" }, first),
    ...cells.map((text) => element("td", {}, text)),
  ));
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
}

/** Closed numbers that `make` gives whenever they are opened or there are new ones. */
export function folded(title, make) {
  const label = `Numbers of ${title}`;
  const content = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
  const details = element("details", {}, element("summary", { "aria-label": label }, "Numbers"), content);
  details.refresh = () => details.open && content.replaceChildren(make());
  details.addEventListener("toggle", details.refresh);
  return details;
}

/** What a keyboard reaches first in a card of `container`. */
export function inCard(container, i) {
  return container.children[i].querySelector("[tabindex='0']");
}

/** Makes `container` hold one child for each key, made once and kept. */
export function keep(container, children, keys, make) {
  const wanted = new Set(keys);
  for (const [key, child] of children) {
    if (!wanted.has(key)) {
      child.element.remove();
      child.destroy?.();
      children.delete(key);
    }
  }
  keys.forEach((key, i) => {
    if (!children.has(key)) {
      children.set(key, make(key));
    }
    const child = children.get(key).element;
    if (container.children[i] !== child) {
      container.insertBefore(child, container.children[i] ?? null);
    }
  });
}
