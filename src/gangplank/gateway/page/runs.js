// The runs: what each is, how it goes, and whether its curves are shown.

import { duration, element, keep, short } from "./numbers.js";
import { fact, nameOf, statusOf } from "./names.js";
import { COLOURS } from "./palette.js";

const SILENT = 90; // seconds; a run that goes on pushes once a minute at least
const STATUS = {
  running: ["▶", "running"],
  silent: ["…", "silent"],
  completed: ["✓", "completed"],
  failed: ["✗", "failed"],
  pushed: ["•", "pushed"],
};

export class Runs {
  /** The list element, and what to call when the choice of runs changes. */
  constructor(list, onChange) {
    this.list = list;
    this.onChange = onChange;
    this.cards = new Map();
    this.chosen = new Map(); // by the runs' ids, whether a person wants them shown
    this.runs = [];
  }

  update(runs) {
    this.runs = [...runs].reverse(); // the newest first
    this.numbers = new Map(runs.map(({ id }, i) => [id, i]));
    keep(this.list, this.cards, this.runs.map(({ id }) => id), (id) => this.make(id));
    for (const run of this.runs) {
      this.fill(this.cards.get(run.id), run);
    }
  }

  /** The runs that are shown: by default the last of each group, as many as there are colours. */
  shown() {
    const groups = new Set();
    const newest = this.runs.filter(({ group }) => {
      const key = JSON.stringify(group);
      return !groups.has(key) && groups.add(key);
    });
    const byDefault = new Set(newest.slice(0, COLOURS).map(({ id }) => id));
    return this.runs.filter(({ id }) => this.chosen.get(id) ?? byDefault.has(id)).reverse();
  }

  /** The number of a run, from 1, and the name of its colour. */
  look({ id }) {
    const i = this.numbers.get(id);
    return { mark: String(i + 1), colour: `line-${(i % COLOURS) + 1}` };
  }

  make(id) {
    const button = element("button", { type: "button", class: "run" });
    button.addEventListener("click", () => {
      this.chosen.set(id, button.getAttribute("aria-pressed") !== "true");
      this.onChange();
    });
    const parts = {};
    for (const part of ["mark", "name", "chip", "facts", "pushing"]) {
      parts[part] = element("span", { class: part });
    }
    button.append(...Object.values(parts));
    return { element: element("li", {}, button), button, parts };
  }

  fill({ button, parts }, run) {
    const { mark, colour } = this.look(run);
    const isShown = this.shown().includes(run);
    button.setAttribute("aria-pressed", String(isShown));
    parts.mark.textContent = mark;
    parts.mark.style.background = isShown ? `var(--${colour})` : "";
    parts.name.textContent = nameOf(run);
    const [kind, sign, text] = howItGoes(run);
    parts.chip.dataset.status = kind;
    parts.chip.textContent = `${sign} ${text}`;
    parts.facts.textContent = factsOf(run).join(" · ");
    const trouble = troubleOf(run);
    parts.pushing.textContent = trouble ?? `last push ${duration(ageOf(run.pushed))} ago`;
    parts.pushing.classList.toggle("trouble", trouble !== null);
  }
}

const ageOf = (time) => (time === null ? 0 : Date.now() / 1000 - time);

/** The kind of status, its sign and its words. */
function howItGoes(run) {
  const train = statusOf(run, "train");
  const test = statusOf(run, "test");
  const isOfTest = test === "running" ? train !== "running" : test === "failed" && train === "completed";
  const told = isOfTest ? test : train ?? test;
  const isSilent = told === "running" && ageOf(run.pushed) > SILENT;
  const kind = isSilent ? "silent" : told ?? "pushed";
  const [sign, text] = STATUS[kind];
  const words = isOfTest ? `test ${text}` : text;
  return [kind, sign, run.deleted ? `${words}, deleted` : words];
}

function factsOf(run) {
  const value = (name) => fact(run, `gangplank_train_${name}`) ?? fact(run, `gangplank_test_${name}`);
  const [seconds, weights] = [value("elapsed_time_seconds"), value("model_parameters_count")];
  const facts = [];
  if (run.epoch !== null) {
    facts.push(`epoch ${short(run.epoch)}`);
  }
  if (seconds !== undefined) {
    facts.push(duration(seconds));
  }
  if (weights !== undefined) {
    facts.push(`${short(weights)} weights`);
  }
  const nan = value("model_nan_weights");
  return nan > 0 ? [...facts, `${short(nan)} of them NaN`] : facts;
}

/** What is wrong with pushing, in words, or null. */
function troubleOf(run) {
  if (run.refused !== null && run.refused > (run.pushed ?? 0)) {
    return "the last push was refused";
  }
  // Of phases that are pushed together each counts all pushes.
  const counts = ["train", "test"].map((phase) => fact(run, `gangplank_${phase}_push_failures_total`) ?? 0);
  const failures = Math.max(...counts);
  return failures > 0 ? `${short(failures)} pushes failed, last push ${duration(ageOf(run.pushed))} ago` : null;
}
