// The page: asks the gateway for what is new, once a second, and shows it.

import { Chart } from "./charts.js";
import { Cut } from "./cut.js";
import { History } from "./history.js";
import { placeOf } from "./names.js";
import { byId, duration, inCard, keep } from "./numbers.js";
import { KIND_DASH, lineLook } from "./palette.js";
import { Runs } from "./runs.js";
import { servingRates } from "./serving.js";
import { Weights } from "./weights.js";

const EVERY = 1_000; // milliseconds
const EVERY_WHEN_GONE = 3_000;
const MOST_CHARTS = 60; // of a section, until somebody asks for all
const SECTIONS = ["metrics", "speed", "serving", "other"];
const KIND_COLOUR = { train: "line-1", validation: "line-2", test: "line-3" };
const KINDS = Object.keys(KIND_COLOUR);

const history = new History();
const runs = new Runs(byId("runs"), show);
const weights = new Weights(show);
const charts = new Map(SECTIONS.map((section) => [section, new Map()]));
const cuts = new Map(SECTIONS.map((section) => {
  const cut = new Cut(MOST_CHARTS, "charts", show, (shown) => inCard(byId(section), shown));
  byId(section).after(cut.element);
  return [section, cut];
}));

function show() {
  const axis = document.querySelector("input[name=axis]:checked").value;
  const hasRuns = history.runs.length > 0;
  byId("empty").hidden = hasRuns;
  byId("main").hidden = byId("runs-section").hidden = !hasRuns;
  byId("full").hidden = !history.isFull;
  runs.update(history.runs);
  const shown = runs.shown();
  for (const section of SECTIONS) {
    showCharts(section, chartsOf(shown, section), axis);
  }
  weights.update(shown, axis);
}

/** The charts of a section as [title, {lines}], in their order: of all runs that are shown. */
function chartsOf(shown, section) {
  const titles = new Map();
  const isAlone = shown.length === 1;
  for (const run of shown) {
    const look = runs.look(run);
    for (const series of [...run.series.values(), ...servingRates(run)]) {
      const place = placeOf(series);
      if (place?.section === section) {
        const chart = titles.get(place.chart) ?? { order: place.order, lines: [] };
        titles.set(place.chart, chart);
        chart.lines.push({
          label: isAlone ? place.line : `${look.mark} ${place.line}`,
          series,
          look: {
            colour: isAlone ? KIND_COLOUR[place.kind] : look.colour,
            dash: KIND_DASH[place.kind],
          },
          mark: isAlone ? "" : look.mark,
          isPoint: place.kind === "test",
          kind: place.kind,
        });
      }
    }
  }
  for (const { lines } of titles.values()) {
    lines.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
    // The colour of a kind does not tell two lines of it apart.
    if (isAlone && new Set(lines.map(({ kind }) => kind)).size < lines.length) {
      lines.forEach((line, i) => {
        const mark = String(i + 1);
        Object.assign(line, { label: `${mark} ${line.label}`, look: lineLook(i), mark });
      });
    }
  }
  return [...titles].sort(([, a], [, b]) => a.order - b.order);
}

function showCharts(section, all, axis) {
  byId(`${section}-section`).hidden = all.length === 0;
  const titles = new Map(cuts.get(section).of(all));
  keep(byId(section), charts.get(section), [...titles.keys()], (title) => new Chart(title));
  titles.forEach(({ lines }, title) => charts.get(section).get(title).update(lines, axis));
}

function tell(state, text) {
  const live = byId("live");
  live.dataset.state = state;
  if (live.textContent !== text) {
    live.textContent = text;
  }
}

let hasShown = false;
let gone = null; // since when the gateway does not answer

/** Asks while somebody looks; whoever comes back sees at once what is new. */
async function follow() {
  let isNew = false;
  if (document.visibilityState === "visible") {
    try {
      isNew = await history.update();
      gone = null;
    } catch (error) {
      gone ??= Date.now();
      console.info(`No answer: ${error.message}`);
    }
  }
  setTimeout(follow, gone === null ? EVERY : EVERY_WHEN_GONE);
  if (gone !== null) {
    tell("gone", `The gateway has not answered for ${duration((Date.now() - gone) / 1000)}`);
  } else if (history.runs.length > 0) {
    tell("live", "Live");
  } else {
    tell("waiting", "Live, nothing yet");
  }
  if (isNew || !hasShown) {
    hasShown = true;
    show();
  } else {
    runs.update(history.runs);
  }
}

byId("snippet").textContent = `callback = gangplank.TrainTestExporter("${location.host}", "mnist")\n`
  + "model.fit(x, y, validation_split=0.1, callbacks=[callback])";
document.querySelectorAll("input[name=axis]").forEach((input) => input.addEventListener("change", show));
follow();
