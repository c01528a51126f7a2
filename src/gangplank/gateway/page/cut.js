// A long list of which some are shown until somebody asks for all.

import { element, short } from "./numbers.js";

export class Cut {
  /**
   * Of `what`, as many as `most` are shown. When all are wanted, `onMore` is called, and then the
   * element has the focus that `next` gives, which is given how many were shown.
   */
  constructor(most, what, onMore, next) {
    this.most = most;
    this.what = what;
    this.some = element("span");
    this.more = element("button", { type: "button" });
    this.more.addEventListener("click", () => {
      const shown = this.most;
      this.most = Infinity;
      onMore();
      next(shown).focus();
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
