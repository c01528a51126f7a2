// A long list of which some are shown until somebody asks for all.

import { element, short } from "./numbers.js";

export class Cut {
  /** Of `what`, as many as `most` are shown; `onMore` is called when all are wanted. */
  constructor(most, what, onMore) {
    this.most = most;
    this.what = what;
    this.some = element("span");
    this.more = element("button", { type: "button" });
    this.more.addEventListener("click", () => {
      this.most = Infinity;
      onMore();
    });
    this.element = element("p", { class: "note cut" }, this.some, this.more);
    this.element.hidden = true;
  }

  /** Those of `all` that are shown. */
  of(all) {
    const shown = all.slice(0, this.most);
    this.element.hidden = shown.length === all.length;
    this.some.textContent = `The first ${shown.length} of ${short(all.length)} ${this.what} are shown. `;
    this.more.textContent = `Show all ${short(all.length)}`;
    return shown;
  }
}
