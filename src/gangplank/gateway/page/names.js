// What the names of metrics say: where each belongs on the page.

import { isOfServing, servingChart } from "./serving.js";

const FACTS = new Set([
  "epochs_count",
  "elapsed_time_seconds",
  "model_parameters_count",
  "model_nan_weights",
  "status",
  "push_failures_total",
  "last_push_success_timestamp_seconds",
]);
const SPEED = ["learning_rate", "samples_per_second", "epoch_time_seconds"];
const STATISTICS = [
  "norm", "update_ratio", "nan", "infinite", "zeros", "mean", "standard_deviation", "minimum",
  "maximum",
];

const words = (name) => name.replaceAll("_", " ");
const textOf = (labels) => Object.entries(labels).map(([name, value]) => `${name} ${value}`).join(", ");

/** Where a series belongs: its section, its chart there, and which line of it; null if nowhere. */
export function placeOf(series) {
  const { name, labels } = series;
  if (isOfServing(series)) {
    const chart = servingChart(series);
    return chart && { ...place("serving", chart.title, textOf(labels) || "value", "train"), order: chart.order };
  }
  const [, phase, own] = /^gangplank_(train|test)_(.+)$/.exec(name) ?? [];
  if (own === undefined) {
    return name.endsWith("_created") ? null : place("other", name, textOf(labels) || "value", "train");
  }
  if (FACTS.has(own) || own.endsWith("_created")) {
    return null;
  }
  const statistic = own.startsWith("weights_") ? own.slice("weights_".length) : "";
  if (STATISTICS.includes(statistic)) {
    const part = labels.layer ?? labels.variable ?? "the model";
    return { ...place("statistics", words(statistic), part, phase), order: STATISTICS.indexOf(statistic) };
  }
  if (SPEED.includes(own)) {
    return { ...place("speed", words(own.replace("_seconds", " (seconds)")), "training", phase), order: SPEED.indexOf(own) };
  }
  const isValidation = phase === "train" && own.startsWith("val_");
  const kind = isValidation ? "validation" : phase;
  const of = isValidation ? own.slice("val_".length) : own;
  const label = { train: "training", validation: "validation", test: "test" }[kind];
  const more = textOf(labels);
  return {
    ...place("metrics", words(of), more ? `${label}, ${more}` : label, kind),
    order: of === "loss" ? 0 : 1,
  };
}

function place(section, chart, line, kind) {
  return { section, chart, line, kind, order: 0 };
}

/** What a histogram is of: {phase, title, isOfModel}. */
export function histogramOf({ name, labels }) {
  const [, phase, per] = /^gangplank_(train|test)_(model|layer|variable)_weights$/.exec(name) ?? [];
  if (per === undefined) {
    const more = textOf(labels);
    return { phase: "other", title: more ? `${name}, ${more}` : name, isOfModel: false };
  }
  const isOfModel = per === "model";
  return { phase, title: isOfModel ? "The whole model" : labels[per] ?? name, isOfModel };
}

/** The newest value of one of gangplank's own metrics of a run, or undefined. */
export function fact(run, name, labels = {}) {
  for (const series of run.series.values()) {
    const isMeant = series.name === name
      && Object.entries(labels).every(([label, value]) => series.labels[label] === value);
    if (isMeant) {
      return series.values.at(-1);
    }
  }
  return undefined;
}

/** The job and the other labels of a run's group. */
export function nameOf({ group: { job, ...others } }) {
  const more = textOf(others);
  return more ? `${job}, ${more}` : job;
}

/** "running", "completed" or "failed" of a phase of a run; null where it does not tell. */
export function statusOf(run, phase) {
  const all = ["running", "completed", "failed"];
  return all.find((status) => fact(run, `gangplank_${phase}_status`, { status }) === 1) ?? null;
}
