// What served models do: rates of their counters, and where these belong on the page.

const PREFIX = "gangplank_predict_";
const METHODS = { "": "predict", "call_": "calls of the model" };
const NOWHERE = new Set(["first_answer_seconds", ...Object.keys(METHODS).flatMap(counters)]);

function counters(method) {
  return [`${method}total`, `${method}time_seconds_total`];
}

export const isOfServing = ({ name }) => name.startsWith(PREFIX);

/** The chart of a series of a served model, and its place among the others; null if nowhere. */
export function servingChart({ name, chart }) {
  const own = name.slice(PREFIX.length);
  if (NOWHERE.has(own) || /(^|_)created$/.test(own)) {
    return null;
  }
  const words = own.replace(/_total$/, "").replaceAll("_", " ");
  return chart ? { title: chart, order: 0 } : { title: `served: ${words}`, order: 1 };
}

/** Series of a run that nobody pushed: samples a second, and seconds a sample, of served models. */
export function servingRates(run) {
  const all = [...run.series.values()].filter(isOfServing);
  return Object.keys(METHODS).flatMap((method) => {
    const [total, time] = counters(method).map((own) => all.filter(({ name }) => name === PREFIX + own));
    return total.filter(({ values }) => values.at(-1) > 0).flatMap((samples) => {
      const seconds = time.find(({ labels }) => JSON.stringify(labels) === JSON.stringify(samples.labels));
      const what = METHODS[method];
      return [
        { ...ratio(samples.values, samples.times, samples), chart: `${what}: samples a second` },
        { ...ratio(seconds?.values ?? [], samples.values, samples), chart: `${what}: seconds a sample` },
      ];
    });
  });
}

/** By how much one column has grown for each 1 of another one, from point to point of a series. */
function ratio(above, below, { name, labels, times, epochs }) {
  const growths = times.slice(1).map((_, i) => (above[i + 1] - above[i]) / (below[i + 1] - below[i]));
  // A server that begins anew counts from 0.
  const values = growths.map((growth) => (growth >= 0 ? growth : NaN));
  return { name: `${name}:ratio`, labels, times: times.slice(1), epochs: epochs.slice(1), values };
}
