"""Files of the safetensors format: real ones are counted exactly, of bad ones it is told why."""

import json
import os
import struct

import numpy as np
import pytest
from checkpoints import BYTES, assert_counted, refused, values_of
from corpus import FLOATS, INTEGERS
from safetensors.numpy import load_file, save_file

from gangplank import weights_histogram, weights_histograms
from gangplank.checkpoints import CheckpointError, open_checkpoint, stored_file


class TestSafetensors:
    @pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, *BYTES], ids=str)
    def test_every_dtype(self, dtype, tmp_path):
        values = values_of(dtype)
        # Above what is read, and not mapped.
        assert values.nbytes * 5 > stored_file.SMALL
        arrays = {"large": np.tile(values, 5), "small": values[:7], "empty": values[:0]}
        save_file(arrays, tmp_path / "a.safetensors", {"format": "np"})
        assert_counted(tmp_path / "a.safetensors", list(arrays.values()))

    def test_pieces_of_one_array(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stored_file, "WINDOW", 1 << 17)
        values = np.random.default_rng(0).normal(0, 0.1, 300_001).astype("float32")
        save_file({"a": values}, tmp_path / "a.safetensors")
        with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
            pieces = list(checkpoint.arrays["a"].read())
        assert [piece.nbytes for piece in pieces] == [1 << 17] * 9 + [300_001 * 4 - (9 << 17)]
        np.testing.assert_array_equal(np.concatenate(pieces), values, strict=True)
        assert_counted(tmp_path / "a.safetensors", [values])

    def test_values_that_are_not_aligned(self, tmp_path):
        values = np.random.default_rng(0).normal(0, 0.1, 50_000).astype("float32")
        path = tmp_path / "a.safetensors"
        entries = {
            "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
            "floats": {"dtype": "F32", "shape": [50_000], "data_offsets": [1, 200_001]},
        }
        path.write_bytes(in_format(entries, b"\7" + values.tobytes()))
        assert_counted(path, [np.array([7], np.uint8), values])
        np.testing.assert_array_equal(load_file(path)["floats"], values, strict=True)

    def test_arrays_come_in_the_order_of_the_file(self, tmp_path):
        arrays = {"b": np.zeros(3, "f4"), "a": np.zeros(4, "f4"), "wide": np.zeros(5, "f8")}
        save_file(arrays, tmp_path / "a.safetensors")
        with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
            assert list(checkpoint.arrays) == ["wide", "a", "b"]
            histograms = weights_histograms(checkpoint.arrays, [0.0], per="variable")
        assert {name: each.count for name, each in histograms.items()} == {
            "wide": 5,
            "a": 4,
            "b": 3,
        }

    def test_what_cannot_be_counted_is_left_out(self, tmp_path):
        path = tmp_path / "a.safetensors"
        save_file({"mask": np.ones(3, bool), "z": np.ones(2, "c8"), "w": np.ones(4, "f4")}, path)
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.left_out == {
                "z": "its dtype is complex64",
                "mask": "its dtype is bool",
            }
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 4

    def test_values_that_share_bytes_are_left_out(self, tmp_path):
        path = tmp_path / "a.safetensors"
        entry = {"dtype": "F4", "shape": [6], "data_offsets": [0, 3]}
        path.write_bytes(in_format({"packed": entry}, bytes(3)))
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.left_out == {"packed": "its dtype is F4, of which values share bytes"}

    def test_a_file_without_tensors(self, tmp_path):
        save_file({}, tmp_path / "a.safetensors")
        with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 0


def in_format(header, values=b""):
    """A safetensors file of a header, given as what JSON makes of it or as bytes, and values."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


GOOD = in_format({"a": tensor()}, bytes(8))
BAD_SAFETENSORS = {
    "empty": (b"", "it is no safetensors file: it has 0 bytes."),
    "short": (b"1234567", "it is no safetensors file: it has 7 bytes."),
    "huge header": (
        struct.pack("<Q", 2**63) + b"{}",
        "its header would have 9,223,372,036,854,775,808 bytes, and none has more than",
    ),
    "header cut": (GOOD[:30], "it is cut short: its header has 61 bytes, and the file 30."),
    "values cut": (
        GOOD[:-1],
        "it is cut short: the tensor 'a' ends at byte 77, and the file at 76.",
    ),
    "more values": (GOOD + b"12", "its last 2 bytes belong to no tensor."),
    "foreign": (b"\x89PNG\r\n\x1a\n" + bytes(99), "it is no safetensors file: its header would"),
    "no brace": (in_format(b"  {}"), "its header does not begin with '{'"),
    "no UTF-8": (in_format(b'{"\xff": 1}'), "its header is no UTF-8: invalid start byte at byte 2"),
    "no JSON": (in_format(b'{"a": }'), "its header is no JSON: Expecting value"),
    "NaN": (in_format(b'{"a": NaN}'), "its header is no JSON: NaN is no number of it"),
    "nested deep": (in_format(b'{"a":' + b"[" * 99_999), "it is nested too deep"),
    "long number": (
        in_format(b'{"a": ' + b"1" * 9999 + b"}"),
        "its header has an integer of 9,999 digits, and none has more",
    ),
    "duplicate": (
        in_format(b'{"a": {}, "a": {}}', bytes(8)),
        "its header has the key 'a' twice.",
    ),
    "no entry": (in_format({"a": 3}), "the tensor 'a' needs a dtype, a shape and data_offsets"),
    "half an entry": (in_format({"a": {"dtype": "F32"}}), "needs a dtype, a shape and data_off"),
    "unknown dtype": (
        in_format({"a": tensor("F33")}, bytes(8)),
        "the tensor 'a' has the dtype 'F33', which is not known",
    ),
    "dtype that is a list": (
        in_format({"a": tensor(["F32"])}, bytes(8)),
        "the tensor 'a' has the dtype ['F32'], which is not known",
    ),
    "negative size": (
        in_format({"a": tensor(shape=(-1, -2))}, bytes(8)),
        "the tensor 'a' has the shape [-1, -2], which is none.",
    ),
    "size beyond all files": (
        in_format({"a": tensor("U8", shape=(2**63,), offsets=(0, 2**63))}),
        "the tensor 'a' has the shape [9223372036854775808], which is none.",
    ),
    "sizes without end": (
        in_format({"a": tensor(shape=(1 << 62,) * 9_999)}, bytes(8)),
        "the tensor 'a' has 9,999 dimensions, and none has more than 64.",
    ),
    "size that is true": (
        in_format({"a": tensor(shape=(2, True))}, bytes(8)),
        "the tensor 'a' has the shape [2, True], which is none.",
    ),
    "negative offset": (
        in_format({"a": tensor(offsets=(-8, 0))}, bytes(8)),
        "the tensor 'a' has the data_offsets [-8, 0], which are none.",
    ),
    "offsets that go back": (
        in_format({"a": tensor(offsets=(8, 0))}, bytes(8)),
        "the tensor 'a' has the data_offsets [8, 0], which are none.",
    ),
    "three offsets": (
        in_format({"a": tensor(offsets=(0, 4, 8))}, bytes(8)),
        "the tensor 'a' has the data_offsets [0, 4, 8], which are none.",
    ),
    "fractions": (
        in_format({"a": tensor(offsets=(0.0, 8.0))}, bytes(8)),
        "the tensor 'a' has the data_offsets [0.0, 8.0], which are none.",
    ),
    "another size": (
        in_format({"a": tensor(shape=(3,))}, bytes(8)),
        "the tensor 'a' of dtype F32 and shape [3] cannot have the 8 bytes that its data_offsets",
    ),
    "out of range": (
        in_format({"a": tensor(offsets=(2**60, 2**60 + 8))}, bytes(8)),
        "the tensor 'a' begins at byte 1,152,921,504,606,846,976 of the values, where the one befo",
    ),
    "beyond the end": (
        in_format({"a": tensor(shape=(2**60,), offsets=(0, 2**62))}, bytes(8)),
        "it is cut short: the tensor 'a' ends at byte 4,611,686,018,427,388,009, and the",
    ),
    "overlap": (
        in_format({"a": tensor(), "b": tensor(offsets=(4, 12))}, bytes(12)),
        "the tensor 'b' begins at byte 4 of the values, where the one before it ends at 8:",
    ),
    "gap": (
        in_format({"a": tensor(), "b": tensor(offsets=(12, 20))}, bytes(20)),
        "the tensor 'b' begins at byte 12 of the values, where the one before it ends at 8:",
    ),
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_bad_safetensors(name, tmp_path):
    content, problem = BAD_SAFETENSORS[name]
    (tmp_path / "a.safetensors").write_bytes(content)
    assert problem in refused(tmp_path / "a.safetensors")


def test_every_cut_of_a_file_is_told_of(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.ones(3, "f4"), "b": np.ones((2, 2), "f8")}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.ones(100_000, "f4")}, path)
    with open_checkpoint(path) as checkpoint:
        os.truncate(path, 5000)
        with pytest.raises(CheckpointError, match="it could not be read to its end"):
            weights_histogram(checkpoint.arrays, [0.0])


class TestShards:
    @pytest.fixture
    def shards(self, tmp_path):
        """Two files and their index, whose weight_map a test may change."""
        save_file({"a": np.ones(3, "f4"), "b": -np.ones(4, "f2")}, tmp_path / "1.safetensors")
        save_file({"c": np.ones(5, "f4")}, tmp_path / "2.safetensors")

        def index(**changes):
            weight_map = {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
            weight_map |= changes
            path = tmp_path / "model.safetensors.index.json"
            path.write_text(json.dumps({"metadata": {"total_size": 40}, "weight_map": weight_map}))
            return path

        return index

    def test_all_that_the_index_names(self, shards):
        assert_counted(shards(), [np.ones(8), -np.ones(4)])
        with open_checkpoint(shards()) as checkpoint:
            assert {*checkpoint.arrays} == {"a", "b", "c"}

    def test_links_as_caches_have_them(self, shards, tmp_path):
        index = shards()
        (tmp_path / "snapshot").mkdir()
        for file in ("1.safetensors", "2.safetensors", index.name):
            (tmp_path / "snapshot" / file).symlink_to(tmp_path / file)
        assert_counted(tmp_path / "snapshot" / index.name, [np.ones(8), -np.ones(4)])

    @pytest.mark.parametrize(
        "name",
        ["../1.safetensors", "/etc/1.safetensors", "a/../../1.safetensors", "1", "", 3, "\0.safet"],
    )
    def test_a_file_elsewhere(self, shards, name):
        assert f"it places 'c' in {name!r}, which is no name of a .safetensors file" in refused(
            shards(c=name)
        )

    def test_a_missing_file(self, shards, tmp_path):
        index = shards(c="3.safetensors")
        with pytest.raises(CheckpointError) as caught, open_checkpoint(index):
            pass
        assert str(caught.value) == f"{tmp_path / '3.safetensors'}: No such file or directory"

    def test_a_name_that_a_terminal_would_take_for_commands(self, shards, tmp_path):
        with (
            pytest.raises(CheckpointError) as caught,
            open_checkpoint(shards(c="\x1b[31m\n.safetensors")),
        ):
            pass
        path = f"{tmp_path}/\\x1b[31m\\n.safetensors"
        assert str(caught.value) == f"'{path}': No such file or directory"

    def test_a_missing_tensor(self, shards, tmp_path):
        with pytest.raises(CheckpointError) as caught, open_checkpoint(shards(d="1.safetensors")):
            pass
        assert str(caught.value) == (
            f"{tmp_path / '1.safetensors'}: it has no tensor 'd', which "
            "model.safetensors.index.json says is there."
        )

    def test_a_tensor_that_the_index_does_not_name_is_left_out(self, shards, tmp_path):
        save_file({"c": np.ones(5, "f4"), "d": np.ones(1, "f4")}, tmp_path / "2.safetensors")
        with open_checkpoint(shards()) as checkpoint:
            assert {*checkpoint.arrays} == {"a", "b", "c"}
            assert checkpoint.left_out == {
                "d": "model.safetensors.index.json does not say that it is in 2.safetensors"
            }

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "it is no JSON: Expecting value"),
            ("[]", "it is no JSON object."),
            ("{}", "it has no weight_map"),
            ('{"weight_map": {}, "weight_map": {}}', "it has the key 'weight_map' twice."),
            ('{"weight_map": []}', "it has no weight_map"),
        ],
    )
    def test_an_index_that_is_none(self, text, problem, tmp_path):
        (tmp_path / "a.safetensors.index.json").write_text(text)
        assert problem in refused(tmp_path / "a.safetensors.index.json")
