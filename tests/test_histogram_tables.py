"""What `gangplank histogram` prints in a terminal."""

import numpy as np
import pytest
from safetensors.numpy import save_file
from weights_files import ran, rows_of


class TestTables:
    def test_bars(self, file, capsys):
        output, _ = ran(capsys, file, "--buckets", "-0.1,0,0.1", "--statistics")
        lines = output.splitlines()
        assert lines[0] == (
            "model.safetensors: 60,708 weights, and 2 NaN (float32, bfloat16, float16)"
        )
        bars = [line.split("█") for line in lines[1:5]]
        assert [bar[0].split() for bar in bars] == [
            ["..", "-0.1"],
            ["-0.1", "..", "0"],
            ["0", "..", "0.1"],
            ["0.1", ".."],
        ]
        assert max(len(bar) for bar in bars) == 41
        statistics = dict(rows_of(output))
        assert statistics["infinite"] == "2"
        assert statistics["zeros"] == "200"
        assert float(statistics["deviation"]) == pytest.approx(0.1, rel=0.1)

    def test_bars_are_shorter_in_a_narrow_terminal(self, file, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        output, _ = ran(capsys, file, "--buckets", "-0.1,0,0.1")
        lines = output.splitlines()[1:]
        assert len(lines) == 4
        assert max(map(len, lines)) == 40
        assert max(line.count("█") for line in lines) == 17

    def test_native_buckets_are_shown_by_powers_of_2(self, capsys, tmp_path):
        np.save(tmp_path / "a.npy", np.array([-3.0, -0.5, 0.0, 0.3, 0.4, 0.5, np.inf]))
        output, _ = ran(capsys, str(tmp_path / "a.npy"), "--buckets", "native")
        rows = [line.replace("█", "").split() for line in output.splitlines()[1:]]
        assert rows == [
            ["-4", "..", "-2", "1"],
            ["-0.5", "..", "-0.25", "1"],
            ["-2.93874e-39", "..", "2.93874e-39", "1"],
            ["0.25", "..", "0.5", "3"],
            ["1.79769e+308", "..", "1"],
        ]

    @pytest.mark.parametrize("buckets", ["-0.1,0,0.1", "native"])
    def test_parts(self, file, buckets, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "160")
        output, _ = ran(capsys, file, "--per", "layer", "--statistics", "--buckets", buckets)
        rows = rows_of(output)
        assert [row[:4] for row in rows[:2]] == [
            ["encoder", "float32", "60,200", "0"],
            ["head", "bfloat16, float16", "508", "2"],
        ]
        assert [row[:3] for row in rows[2:]] == [["encoder", "0", "200"], ["head", "2", "0"]]
        if buckets != "native":
            assert [row[4] for row in rows[:2]] == ["▄██▄", "█▃▃█"]

    def test_statistics_in_80_columns(self, tmp_path, capsys):
        names = [f"encoder.{i}.attention.{part}" for i in range(2) for part in ("key", "query")]
        values = np.random.default_rng(0).normal(0, 0.1, 100)
        save_file({f"{name}.kernel": values for name in names}, tmp_path / "a.safetensors")
        output, _ = ran(capsys, str(tmp_path / "a.safetensors"), "--per", "layer", "--statistics")
        _, *statistics = tables = [
            [row for row in rows_of(table) if row[0]] for table in output.split("┡")[1:]
        ]
        assert [[row[0] for row in table] for table in tables] == [names] * 3
        (zeros, ends) = (table[0] for table in statistics)
        assert zeros == [names[0], "0", "0", f"{np.linalg.norm(values):.4g}"]
        assert ends[1:] == [
            f"{number:.4g}"
            for number in (min(values), max(values), np.mean(values), np.std(values))
        ]

    def test_names_are_text(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        save_file({"[red]a[b].w": np.ones(3, "float32")}, "[bold]x[b].safetensors")
        for per in ("model", "variable"):
            output, _ = ran(capsys, "[bold]x[b].safetensors", "--per", per, "--statistics")
            assert "[bold]x[b].safetensors" in output
        assert "[red]a[b].w" in output

    def test_what_is_not_counted_is_told(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        masks = {f"mask{i}": np.ones(3, bool) for i in range(5)}
        save_file({"w": np.ones(2, "float32"), **masks}, "a.safetensors")
        output, errors = ran(capsys, "a.safetensors")
        assert output.startswith("a.safetensors: 2 weights (float32)\n")
        assert errors == (
            "gangplank: a.safetensors: not counted: mask0 (its dtype is bool); mask1 (its dtype is "
            "bool); mask2 (its dtype is bool); and 2 more\n"
        )
        save_file(masks, "a.safetensors")
        _, errors = ran(capsys, "a.safetensors", status=1)
        assert errors == (
            "gangplank: a.safetensors: it has no weights that can be counted: 'mask0' cannot, "
            "since its dtype is bool.\n"
        )

    def test_no_weights(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        save_file({}, "a.safetensors")
        for per in ("model", "layer"):
            output, errors = ran(capsys, "a.safetensors", "--per", per, "--statistics")
            assert ("a.safetensors" in output, errors) == (True, "")


class TestComparison:
    def test_models(self, file, other, capsys):
        output, _ = ran(capsys, file, other, "--compare", "--buckets", "-0.1,0,0.1", "--statistics")
        assert "A: model.safetensors: 60,708 weights" in output
        assert "B: other.safetensors: 60,701 weights" in output
        rows = rows_of(output)
        assert [row[:2] for row in rows[:4]] == [
            ["", "-0.1"],
            ["-0.1", "0"],
            ["0", "0.1"],
            ["0.1", ""],
        ]
        assert rows[4][0] == "NaN"
        differences = [float(row[6].rstrip("%")) for row in rows[:5]]
        assert sum(differences) == pytest.approx(0, abs=0.03)
        moved = sum(map(abs, differences)) / 2
        line = next(line for line in output.splitlines() if line.startswith("In other"))
        assert float(line.split()[3].rstrip("%")) == pytest.approx(moved, abs=0.03)
        assert rows[5] == ["infinite", "2", "2"]

    def test_parts(self, file, other, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "160")
        output, _ = ran(capsys, file, other, "--compare", "--per", "variable", "--statistics")
        rows = rows_of(output)
        by_name = {row[0]: row for row in rows if len(row) == 6}
        assert [by_name[name][i] for name in ("head.bias", "tail") for i in (1, 3, 5)] == [
            *("10", "", ""),
            *("", "3", ""),
        ]
        assert by_name["encoder.bias"][5] == "0.00%"
        assert float(by_name["encoder.kernel"][5].rstrip("%")) > 30
        assert "A: encoder.kernel" in output
        assert "A: tail" not in output

    def test_the_same_file_twice(self, file, capsys):
        output, _ = ran(capsys, file, file, "--compare", "--buckets", "native")
        assert "In other buckets: 0.00% of the weights" in output

    @pytest.mark.parametrize("nan_count", [0, 25, 100])
    def test_weights_that_turned_nan_are_in_another_bucket(self, tmp_path, capsys, nan_count):
        before, after = np.full(100, 0.01), np.full(100, 0.01)
        after[:nan_count] = np.nan
        for name, values in (("a", before), ("b", after), ("none", before[:0])):
            np.save(tmp_path / f"{name}.npy", values)
        first, second, nothing = (str(tmp_path / f"{name}.npy") for name in ("a", "b", "none"))
        output, _ = ran(capsys, first, second, "--compare")
        assert f"In other buckets: {nan_count}.00% of the weights" in output
        differences = [row[-1] for row in rows_of(output) if row[0] == "NaN"]
        assert differences == ([f"+{nan_count}.00%"] if nan_count else [])
        output, _ = ran(capsys, nothing, second, "--compare")
        assert "In other buckets: 100.00% of the weights" in output

    def test_one_that_cannot_be_read(self, file, capsys):
        output, errors = ran(capsys, file, "none.npz", "--compare", status=1)
        assert (output, errors) == ("", "gangplank: none.npz: No such file or directory\n")
