// What the weights look like: heat maps of histograms, and statistics.

import { Chart } from "./charts.js";
import { Cut } from "./cut.js";
import { HeatMap } from "./heat_map.js";
import { byId, element, inCard, keep, short, table } from "./numbers.js";
import { histogramOf, nameOf, placeOf } from "./names.js";
import { lineLook } from "./palette.js";
import { isOfServing } from "./serving.js";

const MOST_MAPS = 12; // until somebody asks for all

export class Weights {
  constructor(onChange) {
    this.maps = new Map();
    this.charts = new Map();
    const maps = byId("histograms");
    this.cut = new Cut(MOST_MAPS, "histograms", onChange, (shown) => inCard(maps, shown));
    maps.after(this.cut.element);
    for (const id of ["run", "statistic"]) {
      byId(id).addEventListener("change", onChange);
    }
  }

  /** Shows the weights of one of the runs, which a person chooses where there are several. */
  update(runs, axis) {
    const withWeights = runs.filter((run) => histogramsOf(run).length > 0 || statisticsOf(run).size > 0);
    offer(byId("run"), withWeights.map((run) => [run.id, nameOf(run)]).reverse());
    byId("which").hidden = withWeights.length < 2;
    const run = withWeights.find(({ id }) => id === byId("run").value);
    this.showHistograms(run, axis);
    this.showStatistics(run, axis);
  }

  showHistograms(run, axis) {
    const all = run === undefined ? [] : histogramsOf(run);
    byId("weights-section").hidden = all.length === 0;
    const keyed = new Map(this.cut.of(all).map((each) => [`${run.id} ${each.histogram.id}`, each]));
    keep(byId("histograms"), this.maps, [...keyed.keys()], (key) => new HeatMap(keyed.get(key).title));
    keyed.forEach(({ histogram }, key) => {
      this.maps.get(key).update(histogram, axis, { epoch: run.epoch, time: run.pushed });
    });
  }

  showStatistics(run, axis) {
    const statistics = run === undefined ? new Map() : statisticsOf(run);
    byId("statistics-section").hidden = statistics.size === 0;
    offer(byId("statistic"), [...statistics.keys()].map((name) => [name, name]));
    const chosen = byId("statistic").value;
    const parts = [...(statistics.get(chosen) ?? [])];
    const marked = parts.length > 1;
    const lines = parts.map(([part, series], i) => ({
      label: marked ? `${i + 1} ${part}` : part,
      series,
      look: lineLook(i),
      mark: marked ? String(i + 1) : "",
    }));
    const key = run === undefined ? [] : [`${run.id} ${chosen}`];
    keep(byId("statistics"), this.charts, key, () => new Chart(chosen));
    this.charts.forEach((chart) => chart.update(lines, axis));
    byId("statistics-table").replaceChildren(...(statistics.size ? [latest(statistics)] : []));
  }
}

/** The histograms of a run, the model's first; those of the test where the training has none. */
function histogramsOf(run) {
  const all = [...run.histograms.values()]
    .filter((histogram) => !isOfServing(histogram))
    .map((histogram) => ({ histogram, ...histogramOf(histogram) }));
  const phases = new Set(all.map(({ phase }) => phase));
  return all
    .filter(({ phase }) => phase !== "test" || !phases.has("train"))
    .sort((a, b) => b.isOfModel - a.isOfModel);
}

/** The series of each statistic by the part of the model. */
function statisticsOf(run) {
  const placed = [...run.series.values()].map((series) => ({ series, place: placeOf(series) }));
  const all = placed.filter(({ place }) => place?.section === "statistics");
  const phase = all.some(({ place }) => place.kind === "train") ? "train" : "test";
  const statistics = new Map();
  all
    .filter(({ place }) => place.kind === phase)
    .sort((a, b) => a.place.order - b.place.order)
    .forEach(({ series, place }) => {
      const parts = statistics.get(place.chart) ?? new Map();
      statistics.set(place.chart, parts.set(place.line, series));
    });
  return statistics;
}

function latest(statistics) {
  const parts = [...new Set([...statistics.values()].flatMap((series) => [...series.keys()]))];
  const rows = parts.map((part) => [
    part,
    ...[...statistics.values()].map((series) => short(series.get(part)?.values.at(-1))),
  ]);
  return table(["of", ...statistics.keys()], rows, "The latest statistics");
}

/** Makes a select offer [value, text] pairs, and keeps what is chosen where it still can be. */
function offer(select, choices) {
  const offered = [...select.options].map(({ value, text }) => [value, text]);
  if (JSON.stringify(offered) !== JSON.stringify(choices)) {
    const chosen = select.value;
    select.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
    select.value = choices.some(([value]) => value === chosen) ? chosen : choices[0]?.[0] ?? "";
  }
}
