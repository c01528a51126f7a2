// What the gateway has told so far: its runs, their series and their histograms.

const MOST_POINTS = 10_000; // of a series, as the gateway keeps
const NAMED = { "NaN": NaN, "+Inf": Infinity, "-Inf": -Infinity };
const TIMEOUT = 10_000; // milliseconds

const asNumber = (value) => (typeof value === "string" ? NAMED[value] : value);

export class History {
  constructor() {
    this.reset();
  }

  reset() {
    this.born = null;
    this.until = 0;
    this.isFull = false;
    this.runs = []; // in the order in which they began
  }

  /** Asks the gateway for what is new, as often as it has more; says whether anything was. */
  async update() {
    const before = this.until;
    let answer;
    do {
      const response = await fetch(`api/v1/history?after=${this.until}`, {
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (!response.ok) {
        throw new Error(`the gateway answered ${response.status}`);
      }
      answer = await response.json();
      if (this.born !== null && answer.born !== this.born) {
        this.reset(); // another gateway is there
        answer.more = true;
      } else {
        this.take(answer);
      }
    } while (answer.more);
    return this.until !== before;
  }

  take(answer) {
    const known = new Map(this.runs.map((run) => [run.id, run]));
    this.born = answer.born;
    this.until = answer.until;
    this.isFull = answer.full;
    this.runs = answer.runs.map(({ series, histograms, ...facts }) => {
      facts.id = `${answer.born} ${facts.id}`; // another gateway counts its runs anew
      const run = known.get(facts.id) ?? { series: new Map(), histograms: new Map() };
      series.forEach((points) => addPoints(run.series, points));
      histograms.forEach((snapshots) => addSnapshots(run.histograms, snapshots));
      return Object.assign(run, facts);
    });
  }
}

function addPoints(all, { id, name, labels, ...points }) {
  const series = all.get(id) ?? { id, name, labels, times: [], epochs: [], values: [] };
  all.set(id, series);
  series.times.push(...points.times);
  series.epochs.push(...points.epochs);
  series.values.push(...points.values.map(asNumber));
  const excess = series.times.length - MOST_POINTS;
  if (excess > 0) {
    [series.times, series.epochs, series.values].forEach((column) => column.splice(0, excess));
  }
}

const keyOf = ({ name, labels }) => JSON.stringify([name, labels]);

function removeOfOtherBounds(all, key) {
  for (const histogram of all.values()) {
    if (keyOf(histogram) === key) {
      all.delete(histogram.id);
    }
  }
}

function addSnapshots(all, { id, name, labels, bounds, kept, ...snapshots }) {
  if (!all.has(id)) {
    removeOfOtherBounds(all, keyOf({ name, labels }));
  }
  const before = all.get(id)?.snapshots ?? [];
  const isKept = new Set(kept);
  const added = snapshots.times.map((time, i) => ({
    time,
    epoch: snapshots.epochs[i],
    counts: snapshots.counts[i].map(asNumber),
  }));
  all.set(id, {
    id,
    name,
    labels,
    bounds: bounds.map(asNumber),
    snapshots: [...before, ...added].filter((snapshot) => isKept.has(snapshot.time)),
  });
}
