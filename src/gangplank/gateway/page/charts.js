// Curves: a card with a title, a legend that reads out values, the plot, and its numbers.

import uPlot from "./uplot/uPlot.esm.js";
import { Cut } from "./cut.js";
import { clock, element, folded, short, table } from "./numbers.js";
import { colour, onThemeChange } from "./palette.js";

const HEIGHT = 190;
const FONT = "12px system-ui, sans-serif";
const MOST_ROWS = 1_000; // of the table of numbers
const MOST_LINES = 21; // until somebody asks for all: training, validation and test of seven runs
const WHOLE_STEPS = [0, 1, 2, 3, 4, 5, 6].flatMap((n) => [1, 2, 5].map((k) => k * 10 ** n));
const SECONDS = [
  ...[1, 60].flatMap((unit) => [1, 2, 5, 10, 15, 30].map((n) => n * unit)),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3600),
  ...WHOLE_STEPS.map((days) => days * 86_400),
];
const SVG = "http://www.w3.org/2000/svg";

/** The points of a series over "epochs" or "time": of an epoch that was told of often, the last. */
export function pointsOf({ times, epochs, values }, axis) {
  if (axis === "time") {
    return { x: times, y: values };
  }
  const points = { x: [], y: [] };
  epochs.forEach((epoch, i) => {
    if (epoch !== null) {
      const at = points.x.at(-1) === epoch ? points.x.length - 1 : points.x.length;
      points.x[at] = epoch;
      points.y[at] = values[i];
    }
  });
  return points;
}

export class Chart {
  constructor(title) {
    this.title = title;
    this.lines = [];
    this.data = [[]];
    this.plot = null;
    this.legend = element("ul", { class: "legend" });
    const showAll = () => this.update(this.given, this.wantedAxis);
    this.cut = new Cut(MOST_LINES, "series", showAll, () => this.place);
    this.over = element("span", { class: "over" });
    this.place = element("div", {
      class: "plot",
      tabindex: "0",
      role: "group",
      "aria-label": `Curves of ${title}. The arrow keys read out their values.`,
    });
    this.spoken = element("p", { class: "hidden", "aria-live": "polite" });
    this.numbers = folded(title, () => this.table());
    this.element = element(
      "article",
      { class: "card", "data-chart": title },
      element("h3", {}, title, this.over),
      this.legend,
      this.cut.element,
      this.place,
      this.spoken,
      this.numbers,
    );
    this.place.addEventListener("keydown", (event) => this.step(event));
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.place);
    this.end = new AbortController();
    onThemeChange(() => this.draw(), this.end.signal);
  }

  /** Shows lines {label, series, look, mark, isPoint} over an axis, which falls back to time. */
  update(given, axis) {
    Object.assign(this, { given, wantedAxis: axis });
    const lines = this.cut.of(given);
    const tellsEpochs = lines.some(({ series }) => series.epochs.some((epoch) => epoch !== null));
    this.axis = axis === "epochs" && tellsEpochs ? "epochs" : "time";
    this.over.textContent = ` over ${this.axis}`;
    const points = lines.map(({ series }) => pointsOf(series, this.axis));
    const isDrawn = points.map(({ x }) => x.length > 0);
    const drawn = points.filter(({ x }) => x.length > 0);
    // What is no number is a gap.
    const joined = drawn.map(({ x, y }) => [x, y.map((value) => (Number.isFinite(value) ? value : null))]);
    this.shown = joinedValues(drawn);
    this.data = drawn.length ? uPlot.join(joined) : [[]];
    const looks = lines.filter((_, i) => isDrawn[i]);
    const kind = JSON.stringify([this.axis, looks.map(({ label, look, isPoint }) => [label, look, isPoint])]);
    this.lines = looks;
    if (this.plot === null || kind !== this.kind) {
      this.kind = kind;
      this.draw();
    } else {
      this.plot.setData(this.data);
    }
    this.readOut();
    this.numbers.refresh();
  }

  destroy() {
    this.end.abort();
    this.sizes.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.data, this.place);
    this.readOut();
  }

  resize() {
    const width = this.place.clientWidth;
    if (this.plot !== null && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: HEIGHT });
    }
  }

  options() {
    const axisLook = {
      stroke: colour("muted"),
      font: FONT,
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { show: false },
    };
    const isTime = this.axis === "time";
    const over = isTime
      ? { incrs: SECONDS, space: 70, values: timeTexts }
      : { incrs: WHOLE_STEPS, space: 60, values: (_, splits) => splits.map(short) };
    // For the mark of a line, or the half of a time.
    const right = Math.max(this.lines.some(({ mark }) => mark) ? 24 : 12, isTime ? 32 : 0);
    return {
      width: Math.max(this.place.clientWidth, 200),
      height: HEIGHT,
      padding: [8, right, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false },
      scales: {
        x: { time: isTime, range: isTime ? padded(Date.now() / 1000, 30) : padded(0, 0.5) },
        y: { range: heights },
      },
      axes: [
        { ...axisLook, size: heightOf, gap: 4, ...over },
        { ...axisLook, size: widthOf, gap: 6, space: 32, values: tickTexts },
      ],
      series: [{}, ...this.lines.map(({ label, look, isPoint }) => ({
        label,
        stroke: colour(look.colour),
        width: 2,
        dash: look.dash,
        paths: isPoint ? () => null : undefined,
        points: isPoint
          ? { show: true, size: 11, width: 2.5, stroke: colour(look.colour), fill: colour("card") }
          : { size: 5, fill: colour(look.colour) },
      }))],
      hooks: { setCursor: [() => this.readOut()], draw: [(plot) => this.drawMarks(plot)] },
    };
  }

  /** Writes each line's mark at its end, so that not only its colour tells whose it is. */
  drawMarks(plot) {
    const { ctx } = plot;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const marks = this.lines.flatMap(({ mark, look }, i) => {
      const last = this.data[i + 1].findLastIndex((value) => value != null);
      return mark && last >= 0 ? [{
        mark,
        look,
        x: plot.valToPos(this.data[0][last], "x", true) + 8 * devicePixelRatio,
        y: plot.valToPos(this.data[i + 1][last], "y", true),
      }] : [];
    });
    marks.sort((a, b) => a.x - b.x || a.y - b.y);
    const apart = 11 * devicePixelRatio;
    let before = null;
    for (const { mark, look, x, y } of marks) {
      const isBeside = before?.x === x && y - before.y < apart;
      if (!isBeside || mark !== before.mark) {
        before = { mark, x, y: isBeside ? before.y + apart : y };
        ctx.fillStyle = colour(look.colour);
        ctx.fillText(mark, x, before.y);
      }
    }
    ctx.restore();
  }

  /** Moves the reading of values by the arrow keys. */
  step(event) {
    const last = this.data[0].length - 1;
    const now = this.plot?.cursor.idx ?? last + 1;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) {
      return;
    }
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][index], "x"), top: 0 });
    this.spoken.textContent = [
      this.nameOf(this.data[0][index]),
      ...this.lines.map(({ label }, i) => `${label} ${short(this.shown[i].get(this.data[0][index]))}`),
    ].join(", ");
  }

  /** Shows in the legend the values at the cursor, or the newest ones. */
  readOut() {
    const index = this.plot?.cursor.idx;
    const at = index === null || index === undefined ? undefined : this.data[0][index];
    const where = at === undefined ? "latest" : this.nameOf(at);
    const items = this.lines.map(({ label, look, isPoint }, i) => {
      const value = at === undefined ? [...this.shown[i].values()].at(-1) : this.shown[i].get(at);
      return element("li", {}, swatch(look, isPoint), `${label} `, element("b", {}, short(value)));
    });
    this.legend.replaceChildren(...items, element("li", { class: "where" }, where));
  }

  nameOf(x) {
    return this.axis === "epochs" ? `epoch ${short(x)}` : clock(x);
  }

  table() {
    const xs = this.data[0].slice(-MOST_ROWS);
    const rows = xs.map((x) => [
      this.axis === "epochs" ? String(x) : clock(x),
      ...this.shown.map((values) => (values.has(x) ? String(values.get(x)) : "")),
    ]);
    const headers = [this.axis === "epochs" ? "epoch" : "time", ...this.lines.map(({ label }) => label)];
    return table(headers, rows, `${this.title}, all digits`);
  }
}

/** Of each line, its values by x, those that are no numbers among them. */
function joinedValues(points) {
  return points.map(({ x, y }) => new Map(x.map((each, i) => [each, y[i]])));
}

/** A piece of a line as it is drawn. */
function swatch({ colour: name, dash }, isPoint) {
  const svg = document.createElementNS(SVG, "svg");
  const mark = document.createElementNS(SVG, isPoint ? "circle" : "line");
  const places = isPoint ? { cx: 12, cy: 5, r: 4 } : { x1: 0, y1: 5, x2: 24, y2: 5 };
  const look = { "stroke-width": 2.5, "stroke-dasharray": dash.join(" "), fill: "none" };
  svg.setAttribute("width", 24);
  svg.setAttribute("height", 10);
  svg.setAttribute("aria-hidden", "true");
  Object.entries({ ...places, ...look }).forEach(([key, value]) => mark.setAttribute(key, value));
  mark.style.stroke = `var(--${name})`;
  svg.append(mark);
  return svg;
}

/** The range of the points. A single one, or `where` there will be some, has room on both sides. */
function padded(where, room) {
  return ({ data: [{ length, 0: first = where }] }, low, high) =>
    length < 2 ? [first - room, first + room] : [low, high];
}

function heights(_, low, high) {
  if (low === null || low === undefined) {
    return [0, 1];
  }
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const bottom = low >= 0 && low - room < 0 ? 0 : low - room;
  return [bottom, high + room];
}

/** As many decimals as the distance of the ticks has. */
function tickTexts(_, splits, __, ___, step) {
  const isWhole = (value) => Math.round(value) > 0 && Math.abs(value - Math.round(value)) < 1e-6;
  const decimals = [0, 1, 2, 3, 4, 5].find((n) => isWhole(step * 10 ** n));
  const isPlain = decimals !== undefined && splits.every((value) => Math.abs(value) < 1e6);
  const plain = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return splits.map((value) => (isPlain ? value.toLocaleString("en", plain) : value.toExponential(1)));
}

/** The time of each tick, with the day below it where there are several. */
function timeTexts(_, splits) {
  const days = splits.map((seconds) => new Date(seconds * 1000).toLocaleDateString());
  const areSeveral = new Set(days).size > 1;
  return splits.map((seconds, i) =>
    clock(seconds) + (areSeveral && days[i] !== days[i - 1] ? `\n${days[i]}` : ""));
}

const heightOf = (_, texts) => (texts?.some((text) => text.includes("\n")) ? 42 : 28);

const widthOf = (_, texts) => 14 + 7 * Math.max(3, ...(texts ?? []).map((text) => text.length));
