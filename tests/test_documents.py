"""Every code block of the documents is run, and does what the text around it says."""

import contextlib
import json
import re
from functools import partial

import keras
import numpy as np
import prometheus_client
import pytest
import yaml
from conftest import awaited, fetched
from documents import GATEWAY, ROOT, blocks, executed, shell
from samples import metrics_of, status_of
from test_native_prometheus import FLAG as NATIVE_FLAG
from test_prometheus import prometheus

import gangplank
from gangplank.monitoring import rules_yaml

PYTHON, SHELL, _ = blocks("README.md", ["python", "sh", "promql"])
SCRIPT, EMBEDDED, SUMMARY = PYTHON
DEMO, INSTALL, CURL, TEST = SHELL
(HISTOGRAM, COLLECTOR, NATIVE), _ = blocks("docs/weights.md", ["python", "promql"])
((INDEX,),) = blocks("docs/index.md", ["python"])
((SICK, IN_A_NOTEBOOK), SICK_QUERIES) = blocks("docs/sick-layers.md", ["python", "promql"])
TUTORIAL = blocks("docs/tutorial.md", ["python", "sh", "yaml", "promql"])
RECIPES, (SCRAPE_CONFIG,), QUERIES = blocks("docs/recipes.md", ["python", "yaml", "promql"])
LOOP, SEARCH, SCRAPED, SHARED, PLOTS = RECIPES
((REFERENCE, WATCHED),) = blocks("docs/drift.md", ["python"])
((SERVED, VERSIONS, MONITORED, DETECTOR), SERVED_QUERIES) = blocks(
    "docs/serving.md", ["python", "promql"]
)
CHECKPOINT, (OPENED,) = blocks("docs/checkpoints.md", ["sh", "python"])


@pytest.fixture
def run(model, data):
    return partial(executed, model, data)


def test_make_demo():
    output = shell(DEMO)
    assert "A convnet of 104,202 weights learns 1,437 handwritten digits." in output
    accuracy = re.search(r"gangplank_test_accuracy +│ +([\d.]+)", output)
    assert float(accuracy[1]) > 0.95


def test_make_test():
    # Running it would run this test again.
    assert "pytest" in shell(f"{TEST.strip()} --dry-run")
    assert shell("make") == shell("make help")
    for target in ("demo", "test", "test-backends", "soak", "bench"):
        assert f"make {target} " in shell("make")


def test_install():
    # Resolved and built, but not installed over what is being tested.
    output = shell(INSTALL, PIP_DRY_RUN="1", PIP_NO_BUILD_ISOLATION="0")
    assert f"Would install gangplank-{gangplank.__version__}" in output


def test_script_and_curl(run, real_gateway):
    run(SCRIPT.replace(GATEWAY, real_gateway))
    output = shell(CURL.replace(GATEWAY, real_gateway))
    assert 'gangplank_train_epochs_count{instance="",job="mnist"} 30\n' in output
    assert 'gangplank_test_model_weights_count{instance="",job="mnist"} 27\n' in output


def test_embedded_gateway(run, capsys):
    run(EMBEDDED)
    output = capsys.readouterr().out
    assert 'gangplank_train_epochs_count{instance="",job="mnist"} 3.0\n' in output


def test_histogram(run):
    names = run(SUMMARY)
    assert sum(names["histogram"].counts) == 27
    assert sum(names["native"].values()).count == 27
    names = run(HISTOGRAM)
    histogram = names["histogram"]
    assert histogram.bounds == gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
    assert histogram.count == histogram.cumulative[-1] == sum(histogram.counts) == 27
    registry = run(COLLECTOR, **names)["registry"]
    assert registry.get_sample_value("encoder_weights_count") == 27
    native = run(NATIVE)["native"]
    nonzero = sum(native.positive.values()) + sum(native.negative.values())
    assert native.zero_count + nonzero == native.count == 27


def test_index(run, real_gateway):
    run(INDEX.replace(GATEWAY, real_gateway))
    assert metrics_of(real_gateway, "mnist")["gangplank_train_epochs_count"] == 30


def test_tutorial(run, real_gateway, tmp_path):
    (script,), _, (config,), queries = TUTORIAL
    names = run(script.replace(GATEWAY, real_gateway))
    (tmp_path / "prometheus.yml").write_text(config)
    assert "SUCCESS" in shell("promtool check config prometheus.yml", tmp_path)
    with prometheus(real_gateway, tmp_path, NATIVE_FLAG) as query:
        awaited(lambda: query("histogram_count(gangplank_train_layer_weights)"))
        accuracy, median = ([value for _, value in query(each.strip())] for each in queries)
    assert accuracy == pytest.approx(names["model"].history.history["val_accuracy"][-1:])
    assert len(median) == 2


def test_sick_layers(run, real_gateway, tmp_path, capsys):
    names = run(SICK.replace(GATEWAY, real_gateway))
    capsys.readouterr()
    exec(IN_A_NOTEBOOK, names)
    assert "/dead: 100% zero, norm 0, 0 NaN\n" in capsys.readouterr().out
    with prometheus(real_gateway, tmp_path, NATIVE_FLAG) as query:
        awaited(lambda: query("histogram_count(gangplank_train_layer_weights)"))

        def found(text):
            return [series["layer"].rpartition("/")[2] for series, _ in query(text)]

        sick = [found(each.strip()) for each in SICK_QUERIES]
        # Of what there is to compare, which is also there where nothing is sick.
        compared = [found(re.split(" (?:>|==) ", each.strip())[0]) for each in SICK_QUERIES]
    assert sick == [["dead"], ["dead", "first", "frozen"], [], [], [], [*LAYERS]]
    assert compared == [[*LAYERS]] * 6


LAYERS = ("dead", "first", "frozen", "out")


def test_the_site():
    shell("make docs")
    api = (ROOT / "site/api.html").read_text()
    for name in gangplank.__all__:
        is_constant = name.isupper()
        assert is_constant or f'id="gangplank.{name}' in api
    for page in (ROOT / "site").rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#:?]+)[#?"]', page.read_text()):
            if not link.startswith("/"):
                assert (page.parent / link).exists(), (page, link)


def test_checkpoints(run, file, tmp_path):
    bars, lines = (shell(command, tmp_path) for command in CHECKPOINT)
    assert bars.startswith("model.safetensors: 60,708 weights")
    assert [part["name"] for part in json.loads(lines)["histograms"]] == ["encoder", "head"]
    histograms = run(OPENED)["histograms"]
    assert {name: each.count for name, each in histograms.items()} == {
        "encoder": 60_200,
        "head": 508,
    }


def test_a_loop_of_ones_own(run, real_gateway):
    run(LOOP.replace(GATEWAY, real_gateway))
    assert metrics_of(real_gateway, "mnist")["gangplank_train_epochs_count"] == 3
    assert status_of(real_gateway, "mnist") == "completed"


# KerasTuner calls what Python's threading deprecates.
@pytest.mark.filterwarnings(r"ignore:(currentThread|getName)\(\):DeprecationWarning")
def test_a_search(run, data, real_gateway, tmp_path):
    search = run(SEARCH.replace(GATEWAY, real_gateway))["Search"]

    def build(hp):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 1.0)), loss)
        return model

    tuner = search(build, "loss", max_trials=2, directory=tmp_path, project_name="search")
    tuner.search(*data, verbose=0)
    for trial in "01":
        assert "gangplank_train_loss" in metrics_of(real_gateway, "search", trial=trial)


def test_exporters_that_share_a_registry(run):
    value = run(SHARED, prometheus_client=prometheus_client)["registry"].get_sample_value
    assert value("gangplank_train_epochs_count", {"run": "a"}) == 1
    assert value("gangplank_train_epochs_count", {"run": "b"}) == 1


def test_plots(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(PLOTS)
    names["pyplot"].close()
    assert (tmp_path / "weights.png").stat().st_size > 10_000
    assert names["whole"].get_title() == "27 weights"
    assert len(names["parts"].get_yticklabels()) == 2


def test_drift(run, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run(REFERENCE)
    x, _ = data
    run(WATCHED, **names | {"batches": [x, x[:200], x + 1, x + 1]})
    drift, *features = capsys.readouterr().out.splitlines()[-6:]
    assert drift.startswith("Drift: p = ")
    for each in features:
        assert re.fullmatch(r"  ((in|out)put\[\d\]: ks|class: chi2) [\d.]+, PSI [\d.]+", each)


def test_serving(run, model, port, tmp_path):
    served = run(SERVED.replace("8000", str(port)))["model"]
    with contextlib.closing(served):
        text = fetched(f"http://127.0.0.1:{port}/metrics")
        assert "gangplank_predict_total 300.0\n" in text
        assert "gangplank_predict_call_total 300.0\n" in text
        for query in SERVED_QUERIES:
            (name,) = re.findall(r"gangplank_\w+", query)
            assert f"\n{name}{{" in text
    registry = run(VERSIONS, prometheus_client=prometheus_client)["registry"]
    families = [family for family in registry.collect() if family.name == "gangplank_predict"]
    assert [sample.labels["version"] for sample in families[0].samples][:1] == ["4"]


def test_drift_of_a_served_model(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(REFERENCE)
    with contextlib.closing(run(MONITORED)["model"]) as watched:
        drifted = data[0] + 1
        for _ in range(2):
            watched.predict(drifted, verbose=0)
        value = prometheus_client.REGISTRY.get_sample_value
        awaited(lambda: value("gangplank_predict_drift_detected_total") == 1)
        assert value("gangplank_predict_drift_p_value") < 0.01
    one_class = run(DETECTOR)["all_of_one_class"]
    assert one_class(None, np.eye(3)[[1] * 10]).drift_detected
    assert not one_class(None, np.eye(3)[[1] * 9]).drift_detected
    assert not one_class(None, np.eye(3)[[1] * 10 + [2]]).drift_detected


def test_links_lead_somewhere():
    folders = ROOT / "docs", ROOT / "examples"
    for document in (ROOT / "README.md", *(each for f in folders for each in f.rglob("*.md"))):
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text()):
            path, _, anchor = link.partition("#")
            target = document.parent / path
            assert target.exists(), link
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if anchor else [""]
            anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
            assert anchor in anchors, link


def test_scraping(run, port, monkeypatch):
    servers = []
    start = prometheus_client.start_http_server
    monkeypatch.setattr(
        prometheus_client, "start_http_server", lambda *options: servers.append(start(*options))
    )
    run(SCRAPED.replace("8000", str(port)))
    ((httpd, thread),) = servers
    try:
        assert "gangplank_train_epochs_count 30.0\n" in fetched(f"http://127.0.0.1:{port}/metrics")
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def test_scrape_config_and_queries(tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(SCRAPE_CONFIG)
    assert "SUCCESS" in shell(f"promtool check config {config}")
    rules = tmp_path / "rules.yml"
    assert [query.strip() for query in QUERIES[:2]] == [
        rule["expr"] for rule in yaml.safe_load(rules_yaml())["groups"][0]["rules"][:2]
    ]
    records = [{"record": f"a{i}", "expr": query} for i, query in enumerate(QUERIES)]
    rules.write_text(yaml.dump({"groups": [{"name": "a", "rules": records}]}))
    assert "SUCCESS: 4 rules" in shell(f"promtool check rules {rules}")


def test_examples(real_gateway, port, tmp_path):
    ((commands,),) = blocks("examples/README.md", ["sh"])
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    output = shell(
        commands.replace(GATEWAY, real_gateway),
        tmp_path,
        # MNIST is neither downloaded nor found, wherever the test runs.
        https_proxy=f"http://127.0.0.1:{port}",
        no_proxy="127.0.0.1",
        KERAS_HOME=str(tmp_path),
    )
    assert output.count("Using scikit-learn's digits instead.") == 2
    metrics = metrics_of(real_gateway, "mnist")
    assert metrics["gangplank_test_accuracy"] > 0.9
    assert metrics["gangplank_train_epochs_count"] == 8
    assert metrics["gangplank_test_model_weights_count"] == 104_202
    for name in metrics:
        if isinstance(name, str) and name.startswith("gangplank"):
            assert f"\n{name}{{" in output
