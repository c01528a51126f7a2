"""What the embedded gateway keeps of what was pushed over time."""

import gc
import json
import math
import tracemalloc

import numpy as np
import pytest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import BucketSpan, NativeHistogram

from gangplank import NativeBuckets, weights_histogram
from gangplank.gateway.history import History
from gangplank.metrics.histogram_family import histogram_family

GROUP = frozenset({("job", "a")})
OTHER = frozenset({("job", "b")})
EPOCHS = "gangplank_train_epochs_count"


def gauges(**values):
    return {name: GaugeMetricFamily(name, "", value) for name, value in values.items()}


def status(current):
    family = GaugeMetricFamily("gangplank_train_status", "", labels=["status"])
    for each in ("running", "completed", "failed"):
        family.add_metric([each], each == current)
    return {family.name: family}


def histogram(*cumulative, name="h"):
    family = HistogramMetricFamily(name, "")
    for bound, count in zip((*range(len(cumulative) - 1), "+Inf"), cumulative, strict=True):
        family.add_sample(f"{name}_bucket", {"le": str(bound)}, count)
    return {name: family}


def told(history, after=0.0):
    return json.loads(history.as_json(after))


def series(history, after=0.0):
    """The epochs and values of each series that is new in any run, by its name."""
    return {
        each["name"]: (each["epochs"], each["values"])
        for run in told(history, after)["runs"]
        for each in run["series"]
    }


def test_points_of_a_run_with_their_epochs():
    history = History()
    history.push(GROUP, gauges(loss=3), 10)
    for epoch in (1, 2, 3):
        history.push(GROUP, gauges(loss=3 - epoch / 4, **{EPOCHS: epoch}), 10 + epoch)
    assert series(history)["loss"] == ([None, 1, 2, 3], [3, 2.75, 2.5, 2.25])
    (run,) = told(history)["runs"]
    assert run["series"][0]["times"] == [10, 11, 12, 13]
    assert (run["began"], run["pushed"], run["epoch"]) == (10, 13, 3)
    assert run["group"] == {"job": "a"}


def test_an_epoch_that_is_told_of_again_is_one_point():
    history = History()
    for now in (1, 2, 3):
        history.push(GROUP, gauges(loss=0.5, elapsed=now, **{EPOCHS: 1}), now)
    assert series(history)["loss"] == ([1], [0.5])
    assert series(history)["elapsed"] == ([1, 1, 1], [1, 2, 3])


def test_without_epochs_every_push_is_a_point():
    history = History()
    for now in (1, 2, 3):
        history.push(GROUP, gauges(queue=7), now)
    assert series(history)["queue"] == ([None] * 3, [7, 7, 7])


def test_only_what_is_new_is_told():
    history = History()
    history.push(GROUP, gauges(x=1, y=1), 1)
    answer = told(history)
    assert not answer["more"]
    assert series(history, answer["until"]) == {}
    history.push(GROUP, gauges(x=2), 0)  # a clock that was set back
    assert series(history, answer["until"]) == {"x": ([None], [2])}


def test_numbers_that_json_does_not_have():
    history = History()
    values = [math.nan, math.inf, -math.inf, 0.1]
    for now, (epoch, value) in enumerate(zip((math.nan, 0.5, 1, math.inf), values, strict=True)):
        history.push(GROUP, gauges(loss=value, **{EPOCHS: epoch}), now)
    assert series(history)["loss"] == ([None, 0.5, 1, None], ["NaN", "+Inf", "-Inf", 0.1])
    assert told(history)["runs"][0]["epoch"] is None


def test_the_last_points_are_kept():
    history = History(100)
    for epoch in range(1, 251):
        history.push(GROUP, gauges(loss=epoch, **{EPOCHS: epoch}), epoch)
    epochs, values = series(history)["loss"]
    assert epochs == values == [*range(151, 251)]


def test_many_series_have_fewer_points():
    history = History(100, most_points_in_all=200)
    for now in range(1, 101):
        history.push(GROUP, gauges(x=now), now)
        history.push(OTHER, gauges(y=now, z=now), now)
    lengths = {name: len(values) for name, (_, values) in series(history).items()}
    assert lengths == {"x": 66, "y": 66, "z": 66}


def test_the_oldest_runs_make_room_for_series_histograms_and_runs():
    history = History(most_series=3, most_histograms=1, most_runs=2)
    history.push(GROUP, gauges(x=1, y=1) | histogram(1, 2), 1)
    history.push(OTHER, gauges(z=1), 2)
    assert series(history).keys() == {"x", "y", "z"}
    history.push(OTHER, gauges(w=1), 3)
    assert series(history).keys() == {"z", "w"}
    assert not told(history)["full"]
    history.push(OTHER, gauges(u=1, v=1) | histogram(1, 2), 4)
    assert series(history).keys() == {"z", "w", "u"}
    assert told(history)["full"]
    for i in range(3):
        history.push(frozenset({("job", str(i))}), {}, 5 + i)
    assert [run["group"]["job"] for run in told(history)["runs"]] == ["1", "2"]
    history.push(OTHER, gauges(x=1), 9)
    assert [run["group"]["job"] for run in told(history)["runs"]] == ["2", "b"]


def test_what_has_a_very_long_name_is_not_kept():
    history = History()
    history.push(GROUP, gauges(x=1, **{"y" * 2000: 1}), 1)
    assert series(history).keys() == {"x"}
    assert told(history)["full"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (gauges(**{EPOCHS: 3}), gauges(**{EPOCHS: 1})),
        (status("completed"), status("running")),
        (status("failed"), status("running")),
    ],
    ids=["epochs are counted anew", "after one that was completed", "after one that failed"],
)
def test_a_run_that_begins_in_the_same_group_is_another_one(before, after):
    history = History()
    for now, families in enumerate((before, before, after, after), start=1):
        history.push(GROUP, families | gauges(loss=now), now)
    runs = told(history)["runs"]
    assert [run["began"] for run in runs] == [1, 3]
    assert [len(run["series"][-1]["values"]) for run in runs] == [2, 2]


def test_a_group_that_is_deleted_and_one_that_is_refused():
    history = History()
    history.refuse(GROUP, 1)
    history.push(GROUP, gauges(x=1), 2)
    history.delete(GROUP)
    history.delete(OTHER)
    history.push(GROUP, gauges(x=1), 3)
    first, second = told(history)["runs"]
    assert (first["refused"], first["pushed"], first["deleted"]) == (1, 2, True)
    assert (second["refused"], second["pushed"], second["deleted"]) == (None, 3, False)


def test_histograms_are_counts_a_bucket():
    history = History()
    history.push(GROUP, histogram(1, 3, 3, 7) | gauges(**{EPOCHS: 1}), 1)
    history.push(GROUP, histogram(1, 3, 3, 7) | gauges(**{EPOCHS: 2}), 2)
    history.push(GROUP, histogram(0, 0, 5, 7) | gauges(**{EPOCHS: 3}), 3)
    ((kept,),) = [run["histograms"] for run in told(history)["runs"]]
    assert kept["bounds"] == [0, 1, 2]
    assert kept["epochs"] == [1, 3]
    assert kept["counts"] == [[1, 2, 0, 4], [0, 0, 5, 2]]
    ((new,),) = [run["histograms"] for run in told(history, 2)["runs"]]
    assert (new["kept"], new["times"], new["counts"]) == ([1, 3], [3], [[0, 0, 5, 2]])


def test_a_histogram_of_other_bounds_begins_anew():
    history = History()
    history.push(GROUP, histogram(1, 2), 1)
    history.push(GROUP, histogram(1, 2, 3), 2)
    ((kept,),) = [run["histograms"] for run in told(history)["runs"]]
    assert (kept["bounds"], kept["times"]) == ([0, 1], [2])


def test_many_snapshots_are_thinned_and_span_the_run():
    history = History()
    for epoch in range(1, 301):
        history.push(GROUP, histogram(epoch, 2000) | gauges(**{EPOCHS: epoch}), epoch)
        ((kept,),) = [run["histograms"] for run in told(history, epoch - 0.5)["runs"]]
        assert kept["epochs"] == [epoch]
    ((kept,),) = [run["histograms"] for run in told(history)["runs"]]
    assert kept["epochs"] == [*range(1, 301, 4), 300]
    assert kept["counts"][-1] == [300, 1700]


def test_a_histogram_of_too_many_buckets_is_not_kept():
    history = History()
    history.push(GROUP, histogram(*range(5000)) | gauges(x=1), 1)
    assert [run["histograms"] for run in told(history)["runs"]] == [[]]


def test_native_histograms_are_shown_between_powers_of_two():
    values = [1e-9, -1e-9, 0.5, 0.75, 1.0, -0.3, 1.5, 1e6, -1e6, math.inf]
    native = weights_histogram([np.array(values)], NativeBuckets())
    history = History()
    history.push(GROUP, {"h": histogram_family("h", "", [({}, [native])], 0)}, 1)
    ((kept,),) = [run["histograms"] for run in told(history)["runs"]]
    counts = {
        bound: count
        for bound, count in zip([*kept["bounds"], math.inf], *kept["counts"], strict=True)
        if count
    }
    assert counts == {-256: 1, -0.25: 1, 2**-24: 2, 0.5: 1, 1: 2, 2: 1, math.inf: 2}


@pytest.mark.parametrize("schema", [-5000, -5, 9, 2**31 - 1])
def test_native_histograms_of_no_known_schema_are_left_out(schema):
    family = Metric("h", "", "histogram")
    spans = [BucketSpan(0, 2**32 - 1)]
    native = NativeHistogram(1, 1, schema, 0, 0, pos_spans=spans, pos_deltas=[1])
    family.add_sample("h", {}, 1, native_histogram=native)
    history = History()
    history.push(GROUP, {"h": family} | gauges(x=1), 1)
    assert [run["histograms"] for run in told(history)["runs"]] == [[]]


def test_much_is_told_in_several_answers():
    history = History()
    values = gauges(**{f"x{i}": 0 for i in range(100)})
    for now in range(1, 2501):
        history.push(GROUP, values, now)
    answers = [told(history)]
    while answers[-1]["more"]:
        answers.append(told(history, answers[-1]["until"]))
    times = [answer["runs"][0]["series"][0]["times"] for answer in answers]
    assert times == [[*range(1, 1002)], [*range(1002, 2003)], [*range(2003, 2501)]]
    assert [len(answer["runs"][0]["series"]) for answer in answers] == [100] * 3


def bytes_of(history, pushes):
    """What a history takes of 50 series and 5 histograms of 14 bounds that are pushed so often."""
    series = gauges(**{f"x{i}": 0 for i in range(50)})
    histograms = {k: v for i in range(5) for k, v in histogram(*range(15), name=f"h{i}").items()}
    tracemalloc.start()
    for epoch in range(1, pushes + 1):
        for family in histograms.values():
            family.samples[0] = family.samples[0]._replace(value=epoch)
        history.push(GROUP, {**gauges(**{EPOCHS: epoch}), **series}, epoch)
        if epoch % 2:
            history.push(OTHER, histograms, epoch)
    gc.collect()  # empties Python's own lists of free objects
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken


def test_memory_stays_within_its_bounds():
    # A point has 20 bytes, of which arrays hold a sixteenth in reserve; a snapshot 15 counts.
    most = 51 * (200 * 20 * 17 / 16 + 2_000) + 5 * 129 * (15 * 8 + 250)
    assert bytes_of(History(200), 200) < most
    assert bytes_of(History(200), 600) < most
    assert bytes_of(History(most_points_in_all=51 * 200), 600) < most
    assert bytes_of(History(800), 600) > most


def test_runs_that_made_room_are_let_go():
    """Also where a group that was forgotten is pushed to once more."""
    history = History(1000, most_series=20)
    names = [f"m{i}" for i in range(15)]
    groups = [frozenset({("job", str(i))}) for i in range(6)]
    for now in range(1, 100):
        history.push(groups[now % 6], gauges(**dict.fromkeys(names, now)), now)
        shown = {run["group"]["job"] for run in told(history)["runs"]}
        assert {dict(group)["job"] for group in history._current} <= shown
    history.delete(groups[0])
    history.refuse(groups[1], 200)
    assert sum(len(run["series"]) for run in told(history)["runs"]) <= 20


def test_a_histogram_of_too_many_buckets_is_not_kept_and_that_is_told():
    history = History()
    counted = weights_histogram([np.zeros(3)], np.linspace(-1, 1, 2048))
    history.push(GROUP, {"h": histogram_family("h", "", [({}, [counted])], 0)} | gauges(x=1), 1)
    (run,) = told(history)["runs"]
    assert (run["histograms"], series(history).keys()) == ([], {"x"})
    assert told(history)["full"]


def test_bounds_of_many_buckets_are_small():
    history = History()
    bounds = np.linspace(-1, 1, 2047).tolist()
    counted = weights_histogram([np.zeros(3)], bounds)
    families = [histogram_family(f"h{i}", "", [({}, [counted])], 0) for i in range(2)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for now in range(1, 20):
        counted = weights_histogram([np.full(now, 0.5)], bounds)
        families = [histogram_family(f"h{i}", "", [({}, [counted])], 0) for i in range(2)]
        history.push(GROUP, {family.name: family for family in families}, now)
    del families, counted
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(told(history)["runs"][0]["histograms"]) == 2
    assert taken / 2 < 150_000


def test_the_run_that_was_pushed_longest_ago_makes_room():
    history = History(most_runs=2)
    for moment, job in enumerate("abac", start=1):
        history.push(frozenset({("job", job)}), gauges(loss=1), moment)
    assert [run["group"]["job"] for run in told(history)["runs"]] == ["a", "c"]


def test_a_run_of_which_all_was_refused_makes_room_by_its_begin():
    history = History(most_runs=2)
    history.refuse(GROUP, 1)
    for moment, job in enumerate("bc", start=2):
        history.push(frozenset({("job", job)}), gauges(loss=1), moment)
    assert [run["group"]["job"] for run in told(history)["runs"]] == ["b", "c"]
