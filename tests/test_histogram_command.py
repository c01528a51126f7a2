"""`gangplank histogram` as its users run it."""

import contextlib
import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import in_a_process
from safetensors.numpy import save_file
from samples import metrics_of
from usage import usage_error
from weights_files import ran

from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    _native,
    weights_histogram,
    weights_histograms,
    weights_statistics,
)
from gangplank.__main__ import main
from gangplank._native import reference


def of_json(entry):
    """The histogram that an entry of the JSON output tells of."""
    if "native" in entry:
        native = dict(entry["native"])
        for side in ("positive", "negative"):
            native[side] = {int(index): count for index, count in native[side].items()}
        native["sum"] = float(native["sum"])
        return NativeWeightsHistogram(**native, nan_count=entry["nan_count"])
    return WeightsHistogram(entry["bounds"], entry["counts"], entry["nan_count"])


class TestJson:
    def test_the_schema(self, file, arrays, capsys):
        output, errors = ran(capsys, file, "--json", "--buckets", "-0.1,0,0.1")
        counts, nan_count = reference.count(arrays.values(), _native.Bounds.of([-0.1, 0, 0.1]))
        assert json.loads(output) == {
            "file": "model.safetensors",
            "histograms": [
                {
                    "name": "model",
                    "dtype": "float32, bfloat16, float16",
                    "count": 60_708,
                    "nan_count": nan_count,
                    "bounds": [-0.1, 0.0, 0.1],
                    "counts": counts.tolist(),
                }
            ],
        }
        assert (nan_count, errors) == (2, "")

    def test_native_buckets(self, file, arrays, capsys):
        output, _ = ran(capsys, file, "--json", "--buckets", "native")
        (entry,) = json.loads(output)["histograms"]
        assert {*entry} == {"name", "dtype", "count", "nan_count", "native"}
        assert entry["native"]["sum"] == "NaN"
        assert repr(of_json(entry)) == repr(weights_histogram(arrays, NativeBuckets()))

    @pytest.mark.parametrize(
        ("text", "bounds"),
        [
            ("0.3", HISTOGRAM_WEIGHT_BUCKETS_0_3),
            ("1.0", HISTOGRAM_WEIGHT_BUCKETS_1_0),
            ("-1,0,1", (-1.0, 0.0, 1.0)),
            ("-.5,1e-3", (-0.5, 1e-3)),
            ("0", (0.0,)),
            ("-1,inf", (-1.0,)),
        ],
    )
    def test_buckets(self, file, arrays, text, bounds, capsys):
        for arguments in (["--buckets", text, file], [file, f"--buckets={text}"]):
            output, _ = ran(capsys, "--json", *arguments)
            (entry,) = json.loads(output)["histograms"]
            assert of_json(entry) == weights_histogram(arrays, bounds)

    @pytest.mark.parametrize("per", ["layer", "variable"])
    def test_parts(self, file, arrays, per, capsys):
        output, _ = ran(capsys, file, "--json", "--per", per)
        entries = json.loads(output)["histograms"]
        expected = weights_histograms(arrays, HISTOGRAM_WEIGHT_BUCKETS_0_3, per=per)
        assert {entry["name"]: of_json(entry) for entry in entries} == expected
        assert {entry["name"]: entry["dtype"] for entry in entries} == (
            {"encoder": "float32", "head": "bfloat16, float16"}
            if per == "layer"
            else {name: array.dtype.name for name, array in arrays.items()}
        )

    def test_statistics(self, file, arrays, capsys):
        output, _ = ran(capsys, file, "--json", "--statistics", "--per", "layer")
        expected = weights_statistics(arrays, per="layer")
        for entry in json.loads(output)["histograms"]:
            assert entry["statistics"] == vars(expected[entry["name"]])
        np.save("nan.npy", np.array([np.nan]))
        output, _ = ran(capsys, "nan.npy", "--json", "--statistics")
        (entry,) = json.loads(output)["histograms"]
        assert entry["statistics"]["mean"] == "NaN"

    def test_names_are_told_as_they_are(self, capsys, tmp_path):
        names = ["encoder:key:kernel", "a:x:b", "", "0", "model"]
        path = str(tmp_path / "lr:key:.safetensors")
        save_file({name: np.ones(i + 1) for i, name in enumerate(names)}, path)
        output, _ = ran(capsys, path, "--json", "--per", "variable", "--buckets", "0")
        told = json.loads(output)
        assert told["file"] == path
        assert {each["name"]: each["count"] for each in told["histograms"]} == {
            name: i + 1 for i, name in enumerate(names)
        }
        output, _ = ran(capsys, path, "--per", "variable")
        assert "encoder:key:kernel" in output

    def test_several_files_are_a_line_each(self, file, other, capsys):
        output, _ = ran(capsys, "--json", file, other)
        assert [json.loads(line)["file"] for line in output.splitlines()] == [file, other]


class TestPush:
    def test_histograms(self, file, arrays, gateway, capsys):
        ran(capsys, file, "--push", gateway, "--job", "digits", "--buckets", "-0.1,0,0.1")
        metrics = metrics_of(gateway, "digits", file=file)
        expected = weights_histogram(arrays, [-0.1, 0, 0.1])
        for bound, count in expected.samples():
            assert metrics["gangplank_checkpoint_model_weights_bucket", bound] == count
        assert metrics["gangplank_checkpoint_model_weights_count"] == 60_708
        assert metrics["gangplank_checkpoint_model_nan_weights"] == 2

    def test_each_file_stands_by_itself(self, file, other, gateway, capsys):
        ran(capsys, file, other, "--push", gateway, "--job", "digits", "--statistics")
        ran(capsys, other, "--push", gateway, "--job", "digits")
        for name, count in ((file, 60_708), (other, 60_701)):
            metrics = metrics_of(gateway, "digits", file=name)
            assert metrics["gangplank_checkpoint_model_weights_count"] == count
            # What an earlier push of the same file had, and the last has not, is gone.
            for statistic, value in (("zeros", 200), ("infinite", 2)):
                expected = value if name == file else None
                assert metrics.get(f"gangplank_checkpoint_weights_{statistic}") == expected

    def test_layers_and_native_buckets(self, file, arrays, gateway, capsys):
        options = ["--per", "layer", "--buckets", "native", "--statistics"]
        ran(capsys, file, *options, "--push", gateway, "--job", "digits")
        statistics = weights_statistics(arrays, per="layer")
        for layer in ("encoder", "head"):
            metrics = metrics_of(gateway, "digits", file=file, layer=layer)
            assert metrics["gangplank_checkpoint_layer_weights_count"] == statistics[layer].count
            assert metrics["gangplank_checkpoint_weights_norm"] == statistics[layer].norm
        ran(capsys, file, "--buckets", "native", "--push", gateway, "--job", "digits")
        assert metrics_of(gateway, "digits", file=file, layer="head") == {}

    def test_a_gateway_that_is_down(self, file, port, capsys):
        address = f"127.0.0.1:{port}"
        output, errors = ran(capsys, file, "--push", address, "--job", "digits", status=1)
        assert output.startswith("model.safetensors: ")
        assert errors.startswith("gangplank: The metrics of job 'digits' were not pushed to")
        assert "Connection refused" in errors

    def test_what_cannot_be_read_is_told_of_too(self, file, port, capsys):
        address = f"127.0.0.1:{port}"
        _, errors = ran(capsys, "none.npz", file, "--push", address, "--job", "a", status=1)
        unread, unpushed = errors.splitlines()
        assert unread.startswith("gangplank: none.npz: ")
        assert "Connection refused" in unpushed

    def test_names_that_utf_8_cannot_encode(self, gateway, capsys, tmp_path):
        entries = [
            r'"a\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}',
            r'"a\\ud800": {"dtype": "F32", "shape": [3], "data_offsets": [8, 20]}',
        ]
        header = f"{{{', '.join(entries)}}}".encode()
        path = tmp_path / os.fsdecode(b"\xff.safetensors")
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(20))
        options = "--per", "variable", "--push", gateway, "--job", "names"
        ran(capsys, str(path), *options)
        file = f"{tmp_path}/\\udcff.safetensors"
        for name, count in (("a\\ud800", 2), ("a\\ud800_", 3)):
            metrics = metrics_of(gateway, "names", file=file, variable=name)
            assert metrics["gangplank_checkpoint_variable_weights_count"] == count


class TestPlot:
    @pytest.fixture(autouse=True)
    def drawn(self, monkeypatch):
        """The histograms that are drawn, each as a line of its counts."""
        drawn = []

        def plot(histogram, ax):
            drawn.append(histogram)
            ax.plot(histogram.counts)
            ax.set_title(f"{histogram.count} weights")

        monkeypatch.setattr(WeightsHistogram, "plot", plot, raising=False)
        return drawn

    def test_a_picture(self, file, other, arrays, drawn, capsys, tmp_path):
        ran(capsys, file, other, "--per", "variable", "--plot", "a.svg", "--compare")
        expected = weights_histograms(arrays, HISTOGRAM_WEIGHT_BUCKETS_0_3, per="variable")
        assert {*expected.values()} < {*drawn}
        assert len(drawn) == 8
        picture = (tmp_path / "a.svg").read_text()
        assert picture.count("<!-- model.safetensors: encoder.kernel") == 1
        assert picture.count("<!-- other.safetensors: tail") == 1
        assert picture.count("<!-- 60000 weights") == 2

    @pytest.mark.parametrize("name", ["b\udcffd", "\x07", "日本"], ids=ascii)
    def test_a_picture_of_what_has_a_name_that_no_font_has(self, name, arrays, tmp_path, capsys):
        np.savez(tmp_path / f"{name}.npz", **{"encoder\x07": arrays["encoder.kernel"]})
        ran(capsys, str(tmp_path / f"{name}.npz"), "--per", "layer", "--plot", f"{tmp_path}/a.svg")
        assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")

    def test_a_picture_of_nothing(self, capsys, tmp_path):
        np.savez(tmp_path / "a.npz")
        file, picture = str(tmp_path / "a.npz"), str(tmp_path / "a.svg")
        _, errors = ran(capsys, file, "--per", "layer", "--plot", picture, status=1)
        assert errors == "gangplank: --plot has nothing to show: there are no weights.\n"

    def test_a_picture_that_cannot_be_written(self, file, capsys, tmp_path):
        (tmp_path / "a.svg").mkdir()
        _, errors = ran(capsys, file, "--plot", "a.svg", status=1)
        assert errors == "gangplank: a.svg: the picture cannot be written: Is a directory\n"

    def test_more_parts_than_a_picture_can_show(self, file, drawn, capsys, monkeypatch):
        monkeypatch.setattr("gangplank.commands.histogram_plot.MOST_PLOTS", 3)
        _, errors = ran(capsys, file, "--per", "variable", "--plot", "a.svg", status=1)
        assert errors.startswith("gangplank: --plot can show 3 histograms at most, but there are 4")
        assert drawn == []

    def test_matplotlib_is_missing(self, file, capsys, monkeypatch):
        monkeypatch.delitem(sys.modules, "gangplank.commands.histogram_plot", raising=False)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        output, errors = ran(capsys, file, "--plot", "a.svg", status=1)
        assert output == ""
        assert "pip install '.[plot]' in a clone" in errors


class TestErrors:
    def test_no_standard_output(self, file, capsys, monkeypatch):
        monkeypatch.setattr(sys, "stdout", None)
        assert main(["histogram", file]) == 1
        assert capsys.readouterr().err == (
            "gangplank: There is no standard output. Pass --plot or --push.\n"
        )
        assert main(["histogram", file, "--plot", "a.svg"]) == 0

    def test_the_others_are_shown_where_one_cannot_be_read(self, file, capsys, tmp_path):
        (tmp_path / "bad.safetensors").write_bytes(b"bad")
        output, errors = ran(capsys, "none.npz", "bad.safetensors", file, status=1)
        assert output.startswith("model.safetensors: 60,708 weights")
        assert errors == (
            "gangplank: none.npz: No such file or directory\n"
            "gangplank: bad.safetensors: it is no safetensors file: it has 3 bytes.\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ([], "the following arguments are required: FILE"),
            (["a.npy", "--per", "weight"], "argument --per: invalid choice: 'weight'"),
            (["a.npy", "--buckets", "many"], "argument --buckets: buckets must be 0.3, 1.0, nati"),
            (["a.npy", "--buckets", "1,0"], "argument --buckets: buckets must be strictly increas"),
            (["a.npy", "--buckets", "-1,,1"], "argument --buckets: buckets must be 0.3, 1.0, nati"),
            (["a.npy", "--buckets", "nan"], "argument --buckets: buckets must be finite"),
            (["a.npy", "--buckets", "inf"], "argument --buckets: buckets must be 0.3, 1.0, nativ"),
            (["a.npy", "--buckets", "-inf,0"], "Leave it out: the first bucket has all values up"),
            (["a.npy", "--buckets"], "argument --buckets: expected one argument"),
            (["a.npy", "--compare"], "--compare takes two files, not 1"),
            (["a.npy", "b.npy", "--compare", "--json"], "not allowed with argument --compare"),
            (["a.npy", "--push", "127.0.0.1:9091"], "--push and --job go together"),
            (["a.npy", "--job", "digits"], "--push and --job go together"),
            (["a.npy", "--push", "", "--job", ""], "--push must be the address of a gateway"),
            (["a.npy", "--push", "gateway", "--job", ""], "--job must not be empty"),
            (
                ["a.npy", "--push", "no address", "--job", "a"],
                "--push must be the address of a gat",
            ),
            (
                ["a.npy", "--plot", "a.xyz"],
                "argument --plot: its name must end in .svg, .png, .pdf",
            ),
            (
                ["a.npy", "--plot", "nowhere/a.svg"],
                "argument --plot: there is no folder 'nowhere'. Make it first.",
            ),
            (["a.npy", "--stat"], "unrecognized arguments: --stat"),
        ],
    )
    def test_usage(self, arguments, problem, capsys):
        assert problem in usage_error(capsys, "histogram", *arguments)

    def test_what_the_command_needs_is_missing(self, capsys, monkeypatch, file):
        for name in ("histogram", "bars", "comparison", "histogram_tables"):
            monkeypatch.delitem(sys.modules, f"gangplank.commands.{name}", raising=False)
        monkeypatch.delattr("gangplank.commands.histogram", raising=False)
        monkeypatch.setitem(sys.modules, "rich.console", None)
        _, errors = ran(capsys, file, status=1)
        assert "pip install '.[cli]' in a clone" in errors

    def test_help_has_an_example(self, capsys):
        with pytest.raises(SystemExit):
            main(["histogram", "--help"])
        assert (
            "\n  gangplank histogram model.safetensors --per layer --buckets -0.1,0,0.1\n"
        ) in capsys.readouterr().out


def test_a_progress_bar_where_there_is_a_terminal(file):
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "gangplank", "histogram", file]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=end, text=True, env=environment
    ) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # which tells that nobody writes there any more
            while data := os.read(terminal, 1 << 16):
                shown += data
        os.close(terminal)
        output = process.stdout.read()
    assert process.returncode == 0
    assert output.startswith("model.safetensors: 60,708 weights")
    assert b"model.safetensors" in shown
    assert b"KiB" in shown


def test_no_framework_is_loaded(file, tmp_path):
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save("model.keras")
    np.savez("model.npz", a=np.ones(10**7, "float32"))  # so many that numba is loaded
    code = (
        "import sys; from gangplank.__main__ import main; status = main(sys.argv[1:]); "
        "names = {name.partition('.')[0] for name in sys.modules}; "
        "unwanted = {'keras', 'tensorflow', 'jax', 'torch', 'safetensors', 'prometheus_client'}; "
        "print(status, sorted(names & unwanted), 'numba' in names)"
    )
    result = in_a_process(code, "histogram", file, "model.keras", "model.npz")
    assert result.stdout.splitlines()[-1] == "0 [] True", result.stderr
    assert result.stderr == ""  # no progress bar without a terminal


def test_names_do_not_control_the_terminal(capsys, tmp_path):
    path = tmp_path / "a.npz"
    names = {
        "\x1b[31mred": np.zeros(3),
        "two\nlines": np.zeros(3),
        "\x1b]0;title": np.zeros(3, bool),
    }
    np.savez(path, **names)
    assert main(["histogram", str(path), "--per", "variable", "--statistics"]) == 0
    output = capsys.readouterr()
    assert "\x1b[31m" not in output.out
    assert "\\x1b[31mred" in output.out
    assert "two\\nlines" in output.out
    assert "\\x1b]0;title" in output.err
    assert main(["histogram", str(path), str(path), "--per", "variable", "--compare"]) == 0
    assert "\\x1b[31mred" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path, capsys, monkeypatch):
    for name in ("bad", "good"):
        save_file({"a": np.ones(3, "float32")}, tmp_path / f"{name}.safetensors")
    bad, good = (str(tmp_path / f"{name}.safetensors") for name in ("bad", "good"))
    inode, pread = (tmp_path / "bad.safetensors").stat().st_ino, os.pread

    def failing(file, *place):
        if os.fstat(file).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(file, *place)

    monkeypatch.setattr(os, "pread", failing)
    output, errors = ran(capsys, bad, good, status=1)
    assert "good" in output
    assert errors == f"gangplank: {bad}: it cannot be read: Input/output error.\n"


def test_a_terminal_without_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    np.save(tmp_path / "a.npy", np.ones(3))
    for options in ([], ["--json"], ["--per", "variable"]):
        output, _ = ran(capsys, str(tmp_path / "a.npy"), *options)
        assert "3" in output


def test_files_are_shown_where_nothing_can_be_said_of_others(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    command = [sys.executable, "-m", "gangplank", "histogram", "none.npy", "a.npy", "--json"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=full, timeout=60
        )
    assert json.loads(result.stdout)["file"] == "a.npy"
    assert result.returncode != 0


def test_an_encoding_that_has_no_blocks(tmp_path):
    np.save(tmp_path / "a.npy", np.linspace(-0.4, 0.4, 1000))
    command = [sys.executable, "-m", "gangplank", "histogram", "a.npy"]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"a.npy: " in result.stdout
    assert b"????" in result.stdout
