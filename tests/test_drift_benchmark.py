"""The record of what was measured of drift: each part says where and with what."""

import json

import drift
import pytest

OLD = {
    "speed": {"processor": "another", "versions": {"scipy": "1.0"}, "rows": [1]},
    "peers": {"processor": "another", "versions": {"scipy": "1.1"}, "rows": [2]},
}


@pytest.fixture
def measure(tmp_path, monkeypatch):
    path = tmp_path / "drift.json"
    path.write_text(json.dumps(OLD))
    monkeypatch.setattr(drift, "RESULT", path)
    monkeypatch.setattr(drift, "put_tables", lambda _: None)
    monkeypatch.setattr(drift, "about", lambda: {"processor": "this"})
    for part in drift.WITHOUT_DIGITS:
        monkeypatch.setitem(drift.PARTS, part, lambda *_: iter([3]))

    def measure(*parts):
        monkeypatch.setattr("sys.argv", ["drift.py", "--only", *parts])
        drift.main()
        return json.loads(path.read_text())

    return measure


def test_parts_that_are_not_run_keep_their_figures_and_where_they_were_measured(measure):
    new = {"processor": "this", "rows": [3]}
    assert measure("buckets") == OLD | {"buckets": new}
    assert measure("speed") == OLD | {"buckets": new, "speed": new}


def test_other_detectors_that_are_not_there_keep_theirs(measure):
    assert measure("peers") == OLD
