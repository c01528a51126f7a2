"""What the documents tell of the dashboard, the rules and the stack."""

import json
import re
import shutil

import yaml
from documents import ROOT, blocks, shell
from stack import STACK

(COMMANDS,), (RULE_FILES,) = blocks("docs/monitoring.md", ["sh", "yaml"])
((UP_AND_TRAIN, WRITE),) = blocks("examples/stack/README.md", ["sh"])
((TRAIN,),) = blocks("examples/README.md", ["sh"])


def test_commands_rows_and_alerts(tmp_path):
    shell(COMMANDS, tmp_path)
    (tmp_path / "prometheus.yml").write_text(RULE_FILES)
    assert "SUCCESS: 25 rules" in shell("promtool check config prometheus.yml", tmp_path)
    told = (ROOT / "docs/monitoring.md").read_text()
    groups = yaml.safe_load((tmp_path / "rules.yml").read_text())["groups"]
    for alert in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        (row,) = (
            line
            for line in told.splitlines()
            if line.startswith("|") and f"`{alert['alert']}`" in line
        )
        assert row.endswith(f"| {alert['labels']['severity']} |")
    panels = json.loads((tmp_path / "gangplank.json").read_text())["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert [*re.findall(r"^\| ([A-Z]\w+) \| ", told, re.M), "$layer"] == rows


def test_the_stack_is_written_by_what_its_readme_says(tmp_path):
    before = {path: path.read_text() for path in STACK.rglob("*") if path.is_file()}
    shutil.copytree(STACK, tmp_path / "examples/stack")
    shell(WRITE, tmp_path)
    for path, text in before.items():
        assert (tmp_path / path.relative_to(ROOT)).read_text() == text


def test_the_stack_is_where_its_readme_says():
    compose, *examples = UP_AND_TRAIN.splitlines()
    assert ROOT / compose.split()[3] == STACK / "compose.yaml"
    assert {*examples} < {*TRAIN.splitlines()}
    services = yaml.safe_load((STACK / "compose.yaml").read_text())["services"]
    ports = {port.rpartition(":")[0] for each in services.values() for port in each["ports"]}
    told = (STACK / "README.md").read_text()
    assert {*re.findall(r"^\| (?:http://)?(127[\d.:]+)", told, re.M)} == ports
