"""Each query of the dashboard and of the rules, on a real Prometheus that scraped real runs, and
what it told a real Alertmanager.
"""

import contextlib
import json
import re

import numpy as np
import pytest
from conftest import awaited
from stack import panels_of, stack
from test_native_prometheus import values
from test_prometheus import quantile
from watched import ALL, BUCKETS, RUNS, SICK, Watched

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, weights_histogram
from gangplank.monitoring import dashboard_json, rules_yaml
from gangplank.monitoring.queries import HEAT_MAP_BOUNDS, QUANTILES

RULES = rules_yaml(silent_after=0.5, patience=2)
FIT = {"loss", "accuracy", "val_loss", "val_accuracy"}
DASHBOARD = json.loads(dashboard_json())
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
PANELS = {
    panel["title"]: [target["expr"] for target in panel["targets"]]
    for panel in panels_of(DASHBOARD)
    if "gangplank_predict_" not in json.dumps(panel["targets"])
}
LABELS = "job", "run", "layer", "model"
WHOSE = "the model", "$layer"
SERVING = "ServingFails", "ServingRejects", "ServingSlow", "ServingDrifts", "ServingDriftUnseen"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(300, 8)).astype("float32"), rng.integers(0, 3, 300)
    with (
        stack(tmp_path_factory.mktemp("stack"), RULES, "3s") as servers,
        contextlib.ExitStack() as runs,
    ):
        watched = Watched(servers)
        watched.train_and_test(data)
        watched.train_what_fails(data)
        watched.go_on(runs)
        awaited(watched.is_all_told)
        yield watched


def named(name):
    return frozenset({("__name__", f"gangplank_{name}")})


def by_layer(model, name=None):
    """The weights of each layer, by the labels of its series."""
    metric = named(name) if name else frozenset()
    return {
        metric | {("layer", f"{model.name}/{layer.name}")}: values(layer.weights)
        for layer in model.layers
    }


def share_of_zeros(weights):
    finite = weights[np.isfinite(weights)]
    return np.mean(finite == 0)


def expected_of_runs(watched, job):
    """By the titles of panels, what each of their queries answers."""

    def gauges(name, *phases):
        return [
            {named(f"{phase}_{name}"): watched.shown(job, f"{phase}_{name}")}
            for phase in phases or ("train",)
        ]

    pushed = "last_push_success_timestamp_seconds"
    since = [
        {frozenset(): watched.servers.time - watched.shown(job, f"{phase}_{pushed}")}
        for phase in ("train", "test")
    ]
    return {
        "Status": [{frozenset(): 2}, {frozenset(): 2}],
        "Epochs": [{named("train_epochs_count"): 3}],
        "Parameters": [{named("train_model_parameters_count"): watched.model.count_params()}],
        "Elapsed time": gauges("elapsed_time_seconds", "train", "test"),
        "Since the last push": since,
        "Failed pushes": [
            {named("train_push_failures_total"): 0},
            {named("test_push_failures_total"): 0},
        ],
        "Losses": [
            {named(f"train_{name}"): watched.history[name][-1] for name in FIT if "loss" in name}
        ],
        "Metrics": [
            {named(f"train_{name}"): watched.history[name][-1] for name in FIT if "acc" in name}
        ],
        "Learning rate": [{named("train_learning_rate"): np.float32(0.01)}],
        "Throughput": gauges("samples_per_second"),
        "Time of an epoch": gauges("epoch_time_seconds"),
        "Losses and metrics of the test": [
            {named(f"test_{name}"): value for name, value in watched.tested.items()}
        ],
    }


def expected_of_statistics(watched, job, model):
    def counts(name, count):
        return {key: count(each) for key, each in by_layer(model, name).items()}

    of_model = watched.shown(job, "train_model_nan_weights")
    return {
        "Zeros": [counts(None, share_of_zeros)],
        "NaN and infinite weights": [
            counts("train_weights_nan", lambda weights: np.isnan(weights).sum()),
            counts("train_weights_infinite", lambda weights: np.isinf(weights).sum()),
            {} if of_model is None else {named("train_model_nan_weights"): of_model},
        ],
        "Update ratio": [
            {
                key: watched.shown(job, "train_weights_update_ratio", layer=dict(key)["layer"])
                for key in by_layer(model, "train_weights_update_ratio")
            }
        ],
    }


def assert_answers(watched, job, expected, layer=ALL):
    for title, all_answers in expected.items():
        queries = PANELS[title]
        assert len(queries) == len(all_answers)
        for query, answers in zip(queries, all_answers, strict=True):
            # A minute, since which push was the last one is told by the next.
            absolute = 60 if title == "Since the last push" else 1e-12
            assert watched.asked(query, job, layer) == pytest.approx(
                answers, rel=1e-9, abs=absolute, nan_ok=True
            ), title


def assert_shares(answers, bounds, weights):
    """A heat map has these shares of the weights up to each bound."""
    shares = {float(dict(labels)["le"]): share for labels, share in answers.items()}
    assert shares == pytest.approx(
        {bound: np.mean(weights <= bound) for bound in (*bounds, np.inf)}
    )


def assert_quantile(estimate, share, job, weights):
    if job == "native":
        exact = np.quantile(weights, share, method="inverted_cdf")
        assert estimate == pytest.approx(exact, rel=2 ** (1 / 8) - 1)
    else:
        histogram = weights_histogram([weights], HISTOGRAM_WEIGHT_BUCKETS_0_3)
        assert estimate == pytest.approx(quantile(share, histogram), abs=1e-12)


def assert_distribution(watched, job, whose, labels, weights, layer=ALL):
    """A heat map and the quantiles beside it are those of the weights."""
    bounds = HEAT_MAP_BOUNDS if job == "native" else HISTOGRAM_WEIGHT_BUCKETS_0_3
    (query,) = PANELS[f"Weights of {whose}"]
    assert_shares(watched.asked(query, job, layer), bounds, weights)
    queries = PANELS[f"Quantiles of {whose}"]
    for share, query in zip(QUANTILES, queries, strict=True):
        ((key, estimate),) = watched.asked(query, job, layer).items()
        assert key == labels
        assert_quantile(estimate, share, job, weights)


DISTRIBUTIONS = {f"{what} of {whose}" for what in ("Weights", "Quantiles") for whose in WHOSE}


@pytest.mark.parametrize("job", BUCKETS)
def test_each_query_of_the_dashboard_answers_what_was_trained(watched, job):
    expected = expected_of_runs(watched, job)
    expected |= expected_of_statistics(watched, job, watched.model)
    assert {*expected, *DISTRIBUTIONS} == {*PANELS}
    assert_answers(watched, job, expected)
    whole = values(watched.model.weights)
    assert_distribution(watched, job, "the model", frozenset(), whole)
    for labels, weights in by_layer(watched.model).items():
        ((_, layer),) = labels
        assert_distribution(watched, job, "$layer", labels, weights, layer)


def test_a_sick_run_is_seen_on_the_dashboard(watched):
    assert_answers(watched, "sick", expected_of_statistics(watched, "sick", watched.sick))
    assert_answers(watched, "sick", {"Status": [{frozenset(): 3}, {frozenset(): 3}]})
    assert_answers(watched, "stuck", {"Status": [{frozenset(): 1}, {}]})
    (query,) = PANELS["Losses"]
    assert np.isnan(watched.asked(query, "sick")[named("train_loss")])
    assert watched.asked(PANELS["Failed pushes"][0], "stuck") == {
        named("train_push_failures_total"): 6
    }
    (query,) = PANELS["Zeros"]
    (only,) = watched.asked(query, "sick", f"{watched.sick.name}/dead").values()
    assert only == 1


def test_all_of_a_variable_is_also_none_and_what_has_several_lines():
    of_labels = {name: each["allValue"] for name, each in VARIABLES.items() if name in LABELS}
    assert of_labels == dict.fromkeys(LABELS, ALL)
    assert all(re.fullmatch(ALL, label) for label in ("", "a", "several\nlines"))


def test_the_variables_have_the_jobs_the_runs_and_the_layers(watched):
    def choices(name, job=".*"):
        query = VARIABLES[name]["query"]["query"].replace("$run", ".*")
        return watched.servers.label_values(query.replace("$job", job))

    assert choices("job") == sorted(RUNS)
    assert choices("run") == ["1", "2", "3", "4"]
    assert choices("run", "sick") == ["2"]
    for job, model in (
        ("native", watched.model),
        ("classic", watched.model),
        ("sick", watched.sick),
    ):
        layers = [layer for labels in by_layer(model) for _, layer in labels]
        assert choices("layer", job) == sorted(layers)


def expected_alerts(watched):
    """By the names of alerts, of which layers or metrics of which jobs they tell."""
    layer = {name: f"{watched.sick.name}/{name}" for name in SICK}
    return {
        "TrainingFailed": {("sick", None)},
        "TrainingSilent": {("stuck", None), ("overfits", None)},
        "TrainingPushesFail": {("stuck", None)},
        "TestingFailed": {("sick", None)},
        "TestingSilent": set(),
        "TestingPushesFail": set(),
        "TrainingLossNotFinite": {("sick", "loss")},
        "TrainingNoProgress": {("stuck", None)},
        "TrainingOverfits": {("overfits", None)},
        "TrainingWeightsNotFinite": {("sick", layer["broken"])},
        "TrainingLayerDead": {("sick", layer["dead"])},
        "TrainingLayerStill": {("sick", layer["still"])},
        **{name: set() for name in SERVING},
    }


def test_each_alert_tells_of_what_is_sick_and_of_nothing_else(watched):
    found = {}
    for rule in watched.servers.rules():
        if rule["type"] == "alerting":
            labels = [dict(labels) for labels in watched.servers.asked(rule["query"])]
            found[rule["name"]] = {
                (each["job"], each.get("layer", each.get("metric"))) for each in labels
            }
            assert len(found[rule["name"]]) == len(labels)
    assert found == expected_alerts(watched)


def test_each_rule_that_records_does_so(watched):
    recorded = {
        rule["name"]: watched.servers.asked(rule["name"])
        for rule in watched.servers.rules()
        if rule["type"] == "recording"
    }

    def of_runs(name, stuck, overfits):
        whose = {"stuck": stuck, "overfits": overfits}
        return {
            frozenset({("__name__", name), ("job", job), ("run", RUNS[job])}): value
            for job, value in whose.items()
        }

    shares = recorded.pop("layer:gangplank_train_weights_zeros:share")
    for job, model in (("native", watched.model), ("sick", watched.sick)):
        for labels, weights in by_layer(model).items():
            name = ("__name__", "layer:gangplank_train_weights_zeros:share")
            key = labels | {name, ("job", job), ("run", RUNS[job])}
            assert shares[key] == pytest.approx(share_of_zeros(weights))
    loss, validation = "run:gangplank_train_loss:", "run:gangplank_train_val_loss:"
    assert recorded == {
        name: of_runs(name, *values)
        for name, values in {
            f"{loss}finite": (2.0, 0.5),
            f"{loss}best": (1.0, 0.5),
            f"{loss}best_epoch": (1, 3),
            f"{validation}finite": (2.0, 2.0),
            f"{validation}best": (1.0, 1.0),
            f"{validation}best_epoch": (1, 1),
            f"{validation}train_loss_at_best": (1.0, 1.0),
        }.items()
    }


def test_alertmanager_is_told_of_a_run_that_failed(watched):
    (failed,) = (
        alert
        for alert in watched.servers.alerts()
        if alert["labels"]["alertname"] == "TrainingFailed"
    )
    assert failed["labels"] == {
        "alertname": "TrainingFailed",
        "job": "sick",
        "run": "2",
        "severity": "critical",
        "status": "failed",
    }
    assert failed["annotations"]["summary"] == "sick, run 2: Training has failed."
    assert failed["status"]["state"] == "active"
    assert [receiver["name"] for receiver in failed["receivers"]] == ["page"]
