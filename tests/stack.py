"""The servers of examples/stack, less Grafana, with the real programs in place of Docker's."""

import contextlib
import json
import re
import time
import urllib.parse

import yaml
from conftest import fetched, held_port, pushgateway, server
from documents import ROOT

STACK = ROOT / "examples/stack"
SERVING = ROOT / "examples/serving"


class Stack:
    """Addresses, and what one may ask them.

    Attributes:
        gateways: the addresses of two Pushgateways, since a Prometheus 2.42 takes all histograms of
            one name and target for native ones, or all for classic ones, as the first one is.
        time: when instant queries are to be answered, in seconds of the Unix epoch; now if None.
    """

    def __init__(self, gateways, prometheus, alertmanager):
        self.gateways, self._prometheus, self._alertmanager = gateways, prometheus, alertmanager
        self.time = None

    def asked(self, query):
        """The value of each series that answers a query, by its labels."""
        at = self.time or time.time()
        data = self._data("query", query=query, time=f"{at:.3f}")
        assert data["resultType"] == "vector"
        answers = {}
        for series in data["result"]:
            key = frozenset(series["metric"].items())
            assert key not in answers
            answers[key] = float(series["value"][1])
        return answers

    def label_values(self, query):
        """What Grafana's `label_values` gives: it asks for the values of a label like this."""
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
        return self._data(f"label/{label}/values", **{"match[]": selector})

    def rules(self):
        return [rule for group in self._data("rules")["groups"] for rule in group["rules"]]

    def alerts(self):
        """The alerts that Alertmanager was told of."""
        return json.loads(fetched(f"http://{self._alertmanager}/api/v2/alerts"))

    def _data(self, path, **parameters):
        url = f"http://{self._prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        answer = json.loads(fetched(url))
        assert answer["status"] == "success"
        assert "warnings" not in answer
        return answer["data"]


@contextlib.contextmanager
def stack(folder, rules, interval):
    """Runs the servers until the end of the block, with these rules, and a shorter interval."""
    config = (STACK / "prometheus/prometheus.yml").read_text()
    with contextlib.ExitStack() as started:
        gateways = [started.enter_context(pushgateway()) for _ in range(2)]
        changes = {
            "pushgateway:9091": '", "'.join(gateways),
            "scrape_interval: 5s": f"scrape_interval: {interval}",
        }
        servers = watching(folder, config, rules, "alertmanager:9093", changes)
        yield Stack(gateways, *started.enter_context(servers))


@contextlib.contextmanager
def watching(folder, config, rules, alertmanager, changes):
    """The addresses of a Prometheus and an Alertmanager.

    Arguments:
        folder: where they keep what they have.
        config: the configuration of Prometheus, whose rules are in rules.yml beside it.
        rules: those rules.
        alertmanager: the address that Alertmanager has in the configuration.
        changes: what is to stand in place of other things in it.
    """
    flags = yaml.safe_load((STACK / "compose.yaml").read_text())["services"]["prometheus"]
    with contextlib.ExitStack() as started:
        addresses = [f"127.0.0.1:{started.enter_context(held_port())}" for _ in range(2)]
        changes = {
            **changes,
            alertmanager: addresses[1],
            "evaluation_interval: 5s": "evaluation_interval: 1s",
        }
        for name, value in changes.items():
            assert name in config
            config = config.replace(name, value)
        (folder / "prometheus.yml").write_text(config)
        (folder / "rules.yml").write_text(rules)
        started.enter_context(
            server(
                "prometheus-alertmanager",
                f"--config.file={STACK / 'alertmanager/alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={addresses[1]}",
                "--cluster.listen-address=",  # there is no other one to look for
                ready=lambda: fetched(f"http://{addresses[1]}/-/ready"),
            )
        )
        started.enter_context(
            server(
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={addresses[0]}",
                *(flag for flag in flags["command"] if "feature" in flag),
                ready=lambda: fetched(f"http://{addresses[0]}/-/ready"),
            )
        )
        yield addresses


def panels_of(dashboard):
    """The panels of a dashboard, those of rows that are closed among them."""
    return [
        panel
        for each in dashboard["panels"]
        for panel in ([each] if each["type"] != "row" else each["panels"])
    ]
