// A histogram over the training: a column each time, a row each bucket, its shade how many.

import { clock, element, folded, percent, short, table } from "./numbers.js";
import { colour, onThemeChange, shade } from "./palette.js";

const HEIGHT = 190;
const LEFT = 62; // pixels for the bounds
const BOTTOM = 22; // and for the epochs
const TOP = 8;
const RIGHT = 10;

const boundText = (bound) => {
  const size = Math.abs(bound);
  const isShort = size === 0 || (size >= 1e-3 && size < 1e4);
  return (isShort ? String(Number(bound.toPrecision(4))) : bound.toExponential(0)).replace("-", "−");
};

export class HeatMap {
  constructor(title) {
    this.title = title;
    this.canvas = element("canvas", {
      tabindex: "0",
      role: "img",
      "aria-label": `Histogram of the weights of ${title} over the training. The arrow keys read it out.`,
    });
    this.over = element("span", { class: "over" });
    this.reading = element("p", { class: "reading" });
    this.spoken = element("p", { class: "hidden", "aria-live": "polite" });
    this.bar = element("canvas", { width: 96, height: 10, "aria-hidden": "true" });
    this.scaleEnd = element("span");
    this.numbers = folded(title, () => this.table());
    this.element = element(
      "article",
      { class: "card", "data-histogram": title },
      element("h3", {}, title, this.over),
      this.reading,
      this.canvas,
      this.spoken,
      element("p", { class: "scale" }, element("span", {}, "0 %"), this.bar, this.scaleEnd),
      this.numbers,
    );
    this.cursor = null; // [column, row]
    this.columns = [];
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.element);
    this.canvas.addEventListener("keydown", (event) => this.step(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.moveTo(null));
    this.canvas.addEventListener("blur", () => this.moveTo(null));
    this.end = new AbortController();
    onThemeChange(() => this.draw(), this.end.signal);
  }

  /** Shows {bounds, snapshots} up to where the run is now: {epoch, time}. */
  update({ bounds, snapshots }, axis, now) {
    this.axis = axis === "epochs" && snapshots.some(({ epoch }) => epoch !== null) ? "epochs" : "time";
    this.over.textContent = ` over ${this.axis}`;
    this.bounds = bounds;
    this.columns = columnsOf(snapshots, this.axis, now);
    [this.first, this.last] = rowsOf(this.columns);
    this.most = Math.max(...this.columns.flatMap(({ shares }) => shares), 0);
    this.moveTo(this.cursor); // which draws
    this.numbers.refresh();
    this.scaleEnd.textContent = `${percent(this.most)} of its weights`;
  }

  destroy() {
    this.end.abort();
    this.sizes.disconnect();
  }

  place(width) {
    const begin = this.columns[0].begin;
    const length = this.columns.at(-1).end - begin || 1;
    const rows = this.last - this.first + 1;
    const across = width - LEFT - RIGHT;
    const down = HEIGHT - TOP - BOTTOM;
    return {
      x: (at) => LEFT + ((at - begin) / length) * across,
      y: (row) => TOP + ((this.last + 1 - row) / rows) * down,
    };
  }

  draw() {
    const width = this.canvas.clientWidth;
    if (width === 0 || this.columns.length === 0) {
      return;
    }
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(HEIGHT * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const { x, y } = this.place(width);
    for (const { begin, end, shares } of this.columns) {
      for (let row = this.first; row <= this.last; row += 1) {
        context.fillStyle = shade(Math.sqrt(Math.max(shares[row], 0) / (this.most || 1)));
        const [left, top] = [Math.floor(x(begin)), Math.floor(y(row + 1))];
        context.fillRect(left, top, Math.ceil(x(end)) - left, Math.ceil(y(row)) - top);
      }
    }
    this.drawScale();
    context.fillStyle = colour("muted");
    context.font = "12px system-ui, sans-serif";
    this.drawBounds(context, y);
    this.drawTimes(context, x, width);
    if (this.cursor !== null) {
      const [column, row] = this.cursor;
      const { begin, end } = this.columns[column];
      context.strokeStyle = colour("ink");
      context.lineWidth = 2;
      context.strokeRect(x(begin), y(row + 1), x(end) - x(begin), y(row) - y(row + 1));
    }
  }

  drawScale() {
    const context = this.bar.getContext("2d");
    for (let x = 0; x < this.bar.width; x += 1) {
      context.fillStyle = shade(Math.sqrt(x / this.bar.width));
      context.fillRect(x, 0, 1, this.bar.height);
    }
  }

  /** The bounds between the rows, as many as have room. */
  drawBounds(context, y) {
    context.textAlign = "right";
    context.textBaseline = "middle";
    const zero = this.bounds.indexOf(0);
    const height = y(0) - y(1);
    const each = Math.ceil(18 / height);
    for (let i = this.first; i < this.last; i += 1) {
      if ((i - Math.max(zero, 0)) % each === 0) {
        context.fillText(boundText(this.bounds[i]), LEFT - 6, y(i + 1));
      }
    }
  }

  drawTimes(context, x, width) {
    context.textBaseline = "alphabetic";
    context.textAlign = "center";
    const middles = this.columns.map(({ begin, end, at }) => ({
      text: this.axis === "epochs" ? short(at) : clock(at),
      x: (x(begin) + x(end)) / 2,
    }));
    let free = 0;
    for (const { text, x: middle } of middles) {
      const half = context.measureText(text).width / 2;
      if (middle - half >= free && middle + half <= width) {
        context.fillText(text, middle, HEIGHT - 6);
        free = middle + half + 24;
      }
    }
  }

  step(event) {
    const [column, row] = this.cursor ?? [this.columns.length - 1, Math.round((this.first + this.last) / 2)];
    const to = {
      ArrowLeft: [column - 1, row],
      ArrowRight: [column + 1, row],
      ArrowUp: [column, row + 1],
      ArrowDown: [column, row - 1],
      Home: [0, row],
      End: [this.columns.length - 1, row],
    }[event.key];
    if (to !== undefined && this.columns.length > 0) {
      event.preventDefault();
      this.moveTo(to);
      this.spoken.textContent = this.reading.textContent;
    }
  }

  point({ offsetX, offsetY }) {
    const { x, y } = this.place(this.canvas.clientWidth);
    const column = this.columns.findIndex(({ begin, end }) => x(begin) <= offsetX && offsetX < x(end));
    const row = Math.floor(this.first + (y(this.first) - offsetY) / (y(0) - y(1)));
    this.moveTo(column >= 0 && row >= this.first && row <= this.last ? [column, row] : null);
  }

  /** Reads out the field at [column, row], or what there is in all. */
  moveTo(cursor) {
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    this.cursor = cursor && this.columns.length
      ? [within(cursor[0], 0, this.columns.length - 1), within(cursor[1], this.first, this.last)]
      : null;
    const { at, counts, shares, total } = this.columns[this.cursor?.[0] ?? this.columns.length - 1] ?? {};
    if (at === undefined) {
      return;
    }
    const when = this.axis === "epochs" ? `epoch ${short(at)}` : clock(at);
    const row = this.cursor?.[1];
    const all = total === 0 ? "no weights (NaN are not counted)" : `${short(total)} weights`;
    this.reading.textContent = row === undefined
      ? `${when}: ${all}`
      : `${when}: ${this.bucketText(row)}: ${short(counts[row])} weights, ${percent(shares[row])}`;
    this.draw();
  }

  bucketText(row) {
    const [low, high] = [this.bounds[row - 1], this.bounds[row]];
    if (high === undefined) {
      return low === undefined ? "all" : `> ${boundText(low)}`;
    }
    return low === undefined ? `≤ ${boundText(high)}` : `${boundText(low)} to ${boundText(high)}`;
  }

  table() {
    const newest = this.columns.at(-1);
    const rows = newest.counts.map((count, row) => [
      this.bucketText(row),
      String(count),
      percent(newest.shares[row]),
    ]);
    return table(["value", "weights", "share"], rows, `${this.title}, as it was last told of`);
  }
}

/** A column each snapshot, up to the next one: a snapshot holds until the weights were seen again. */
function columnsOf(snapshots, axis, now) {
  const half = axis === "epochs" ? 0.5 : 0;
  const places = new Map(); // of two in one epoch, the later
  for (const { time, epoch, counts } of snapshots) {
    const at = axis === "epochs" ? epoch : time;
    if (at !== null) {
      places.set(at, counts);
    }
  }
  const ats = [...places.keys()];
  const last = axis === "epochs" ? now.epoch ?? ats.at(-1) : Math.max(now.time, ats.at(-1) + 1);
  return ats.map((at, i) => {
    const counts = places.get(at);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const end = i + 1 < ats.length ? ats[i + 1] - half : Math.max(last, at) + half;
    const shares = counts.map((count) => (total ? count / total : 0));
    return { at, begin: at - half, end, counts, shares, total };
  });
}

/** The first and the last row that ever have something. */
function rowsOf(columns) {
  const rows = (columns[0]?.shares ?? [0]).map((_, row) => columns.some(({ shares }) => shares[row] > 0));
  const first = Math.max(rows.indexOf(true), 0);
  return [first, Math.max(rows.lastIndexOf(true), first)];
}
