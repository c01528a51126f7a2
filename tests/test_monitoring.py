"""`gangplank dashboard` and `gangplank rules`: what they write, and the stack that has it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documents import ROOT
from stack import STACK, panels_of
from usage import usage_error

from gangplank.__main__ import main
from gangplank.monitoring import dashboard_json, rules_yaml
from gangplank.publishing import publisher

COMMANDS = {
    "dashboard": STACK / "grafana/dashboards/gangplank.json",
    "rules": STACK / "prometheus/rules.yml",
}


def checked(*command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_a_run_that_pushes_its_heartbeats_is_not_silent():
    after = re.search(r"_last_push_success_timestamp_seconds > (\d+)", rules_yaml())[1]
    assert publisher._LONGEST_SILENCE == 60  # seconds, as the documents say
    assert int(after) >= 3 * publisher._LONGEST_SILENCE


@pytest.fixture
def dashboard():
    return json.loads(dashboard_json())


@pytest.fixture
def panels(dashboard):
    return panels_of(dashboard)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_stack_has_what_the_commands_write(command, capsys, tmp_path):
    written = COMMANDS[command].read_text()
    assert main([command]) == 0
    assert capsys.readouterr().out == written
    assert main([command, "--output", str(tmp_path / "file")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "file").read_text() == written


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"\n  gangplank {command} " in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_be_written(command, capsys, tmp_path):
    assert usage_error(capsys, command, "--output", str(tmp_path)) == (
        f"gangplank {command}: error: --output must be a file that can be written. "
        f"Received {str(tmp_path)!r}: Is a directory."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["dashboard", "--run-label", "a-b"],
            "--run-label must be the name of a label of a grouping_key, such as 'run'. Received "
            "'a-b'.",
        ),
        (["dashboard", "--run-label", "layer"], "such as 'run'. Received 'layer'."),
        (
            ["rules", "--silent-after", "0"],
            "--silent-after must be above 0 and finite. Received 0.0.",
        ),
        (["rules", "--patience", "-1"], "--patience must be above 0 and finite. Received -1."),
        (
            ["rules", "--dead-share", "2"],
            "--dead-share must be above 0 and at most 1. Received 2.0.",
        ),
        (["rules", "--dead-share", "nan"], "above 0 and at most 1. Received nan."),
        (["rules", "--silent-after", "inf"], "above 0 and finite. Received inf."),
        (["rules", "--slow-after", "0"], "--slow-after must be above 0 and finite. Received 0.0."),
        (["rules", "--failed-share", "2"], "--failed-share must be above 0 and at most 1."),
    ],
    ids=str,
)
def test_options_that_are_wrong(arguments, message, capsys):
    assert message in usage_error(capsys, *arguments)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("module", ["grafana_foundation_sdk", "yaml"])
def test_what_a_command_needs_is_missing(command, module):
    code = (
        f"import sys; sys.modules[{module!r}] = None; "
        f"from gangplank.__main__ import main; sys.exit(main([{command!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout == ""
    assert module in result.stderr
    assert "pip install '.[monitoring]' in a clone" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_label_of_a_run_can_be_another_one():
    queries = dashboard_json("trial")
    assert 'trial=~\\"$run\\"' in queries
    assert "{{trial}}" in queries
    assert "run=~" not in queries
    assert "{{run}}" not in queries


def test_every_panel_asks_the_chosen_data_source(panels):
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["datasource"] == chosen
        assert panel["targets"]
        assert panel["description"]
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            assert target["expr"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len({*letters}) == len(letters)


def test_all_can_be_told_apart(dashboard, panels):
    assert dashboard["uid"] == "gangplank"
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    for name in ("id", "title"):
        found = [panel[name] for panel in (*rows, *panels)]
        assert len({*found}) == len(found)


def test_the_variables_that_are_used_are_there(dashboard):
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert [*variables] == ["datasource", "job", "run", "layer", "model"]
    used = {*re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"]))}
    assert used == {*variables, "__rate_interval"}
    repeated = [panel["repeat"] for panel in dashboard["panels"] if panel.get("repeat")]
    assert repeated == ["layer"]
    for variable in list(variables.values())[1:]:
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["includeAll"]


def test_what_is_served_is_asked_for_when_somebody_looks(dashboard, panels):
    assert [panel["title"] for panel in dashboard["panels"] if panel.get("panels")] == ["Serving"]
    (row,) = (panel for panel in dashboard["panels"] if panel.get("panels"))
    assert row["collapsed"]
    of_serving = [panel for panel in panels if "gangplank_predict" in json.dumps(panel["targets"])]
    assert of_serving == row["panels"]


def test_panels_do_not_overlap(dashboard, panels):
    taken = set()
    for panel in (*panels, *(each for each in dashboard["panels"] if each["type"] == "row")):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_no_query_takes_the_rate_of_weights(panels):
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rates = [query for query in queries if re.search(r"\b(i?rate|increase|delta)\(", query)]
    assert not [query for query in rates if "gangplank_predict_" not in query]


def test_promtool_finds_the_rules_right(tmp_path):
    exact = rules_yaml(silent_after=1234567, dead_share=0.9999999)
    assert "_seconds > 1234567\n" in exact
    assert ":share >= 0.9999999\n" in exact
    rules = rules_yaml(silent_after=60, patience=3, dead_share=0.5, slow_after=2, failed_share=0.5)
    (tmp_path / "rules.yml").write_text(rules)
    assert "SUCCESS: 25 rules" in checked("promtool", "check", "rules", tmp_path / "rules.yml")
    assert "_seconds > 60\n" in rules
    assert rules.count(":best_epoch >= 3\n") == 2
    assert ":share >= 0.5\n" in rules
    assert ")) > 2\n" in rules
    assert rules.count(")) >= 0.5\n") == 2


def test_each_alert_fires_when_it_should_and_not_else(tmp_path):
    (tmp_path / "rules.yml").write_text(rules_yaml())
    tests = shutil.copy(ROOT / "tests/alerts.yml", tmp_path)
    assert "SUCCESS" in checked("promtool", "test", "rules", tests)
    rules = [rule for group in yaml.safe_load(rules_yaml())["groups"] for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    fired, quiet = set(), set()
    for test in yaml.safe_load((ROOT / "tests/alerts.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            (fired if case.get("exp_alerts") else quiet).add(case["alertname"])
    assert fired == {*alerts}
    assert quiet >= {*alerts} - {"TrainingPushesFail", "TestingPushesFail"}
    for alert in alerts.values():
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert "$labels.job" in alert["annotations"]["summary"]
        is_of_layers = "layer" in alert["expr"] or "weights" in alert["expr"]
        assert ("$labels.layer" in alert["annotations"]["summary"]) == is_of_layers
        is_served = "gangplank_predict_" in alert["expr"]
        assert ("$labels.version" in alert["annotations"]["summary"]) == is_served


def test_a_rule_that_is_wrong_would_be_found(tmp_path):
    (tmp_path / "rules.yml").write_text(rules_yaml(patience=9))
    tests = shutil.copy(ROOT / "tests/alerts.yml", tmp_path)
    result = subprocess.run(["promtool", "test", "rules", tests], capture_output=True, timeout=60)
    assert result.returncode == 1


def test_the_servers_find_the_configuration_of_the_stack_right():
    found = checked("promtool", "check", "config", STACK / "prometheus/prometheus.yml")
    assert "SUCCESS: 25 rules" in found
    assert "SUCCESS" in checked("amtool", "check-config", STACK / "alertmanager/alertmanager.yml")


def test_the_stack_is_of_releases_and_reached_from_this_machine_only():
    services = yaml.safe_load((STACK / "compose.yaml").read_text())["services"]
    assert {*services} == {"pushgateway", "prometheus", "alertmanager", "grafana"}
    for service in services.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (STACK / source).is_dir()


def test_grafana_is_told_of_the_prometheus_and_the_dashboard():
    services = yaml.safe_load((STACK / "compose.yaml").read_text())["services"]
    provisioning = STACK / "grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())
    (source,) = sources["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/gangplank.yml").read_text())[
        "providers"
    ]
    folder = provider["options"]["path"]
    assert f"./grafana/dashboards:{folder}:ro" in services["grafana"]["volumes"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/{COMMANDS['dashboard'].name}"


@pytest.fixture(params=["a pipe without a reader", "a full disk"])
def output(request):
    """A standard output that takes nothing, and what is said of it."""
    if request.param == "a full disk":
        with Path("/dev/full").open("w") as full:
            yield full, "gangplank: [Errno 28] No space left on device\n"
        return
    reader, writer = os.pipe()
    os.close(reader)
    yield writer, ""
    os.close(writer)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_standard_output_that_takes_nothing(command, output):
    file, said = output
    result = subprocess.run(
        [sys.executable, "-m", "gangplank", command],
        stdout=file,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, said)


def test_no_standard_output(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["rules"]) == 1
    message = "gangplank: There is no standard output. Name a file with --output.\n"
    assert capsys.readouterr().err == message
