"""References: what makes one, and that files keep it to the last bit."""

import copy
import json
import pickle
import zipfile

import numpy as np
import pytest

import gangplank
from gangplank import DriftReference, drift_reference

RNG = np.random.default_rng(0)
X = {
    "pixels": RNG.normal(size=(200, 2, 3)).astype(np.float32),
    "age": RNG.integers(0, 100, 200),
}
Y = RNG.dirichlet(np.ones(4), 200).astype(np.float32)
REFERENCES = {
    "a classifier": drift_reference(X, Y),
    "a regressor": drift_reference(X["pixels"], Y[:, 0]),
    "predictions alone": drift_reference(None, {"a": Y, "b": Y[:, :2]}),
    "nan": drift_reference(np.full((200, 1), np.nan), np.full(200, np.inf)),
}
each_reference = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())


def arrays_of(reference):
    sides = [side for side in (reference.inputs, reference.outputs) if side is not None]
    of_sides = [each for side in sides for each in (side.ends, side.counts)]
    return [*of_sides, *(each.counts for each in reference.classes)]


@each_reference
def test_a_file_keeps_it_exactly(reference, tmp_path):
    path = tmp_path / "reference"
    reference.save(path)
    loaded = DriftReference.load(str(path))
    assert loaded == reference
    assert hash(loaded) == hash(reference)
    for one, two in zip(arrays_of(loaded), arrays_of(reference), strict=True):
        np.testing.assert_array_equal(one, two, strict=True)
    assert loaded.inputs is None or loaded.inputs.leaves == reference.inputs.leaves
    assert loaded.outputs.leaves == reference.outputs.leaves
    names = [[(each.name, each.start) for each in one.classes] for one in (loaded, reference)]
    assert names[0] == names[1]


@each_reference
def test_it_cannot_be_changed(reference, tmp_path):
    reference.save(tmp_path / "reference")
    loaded = DriftReference.load(tmp_path / "reference")
    for each in (reference, loaded, copy.deepcopy(reference)):
        with pytest.raises(AttributeError):
            each.outputs = None
        for array in arrays_of(each):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_references_of_other_samples_differ():
    assert len({*REFERENCES.values(), drift_reference(X, Y / 2)}) == 5
    assert drift_reference(X, Y) == REFERENCES["a classifier"]
    assert REFERENCES["a classifier"] != "a classifier"


@each_reference
def test_copies(reference):
    assert copy.deepcopy(reference) == reference
    assert pickle.loads(pickle.dumps(reference)) == reference


def test_what_it_shows():
    assert repr(REFERENCES["a classifier"]) == (
        "DriftReference(sample_count=200, inputs=7 features, outputs=4 columns, classes=[4])"
    )
    assert "inputs=None" in repr(REFERENCES["predictions alone"])


def test_the_file_has_no_pickle_and_says_what_it_is(tmp_path):
    REFERENCES["a classifier"].save(tmp_path / "reference.npz")
    with np.load(tmp_path / "reference.npz", allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        assert (about["format"], about["version"]) == ("gangplank drift reference", 1)
        np.testing.assert_array_equal(
            arrays["classes_0"], np.bincount(Y.argmax(axis=1), minlength=4)
        )


@pytest.mark.parametrize(
    ("x", "predictions", "options", "message"),
    [
        (X, Y[:3], {}, r"a prediction for each sample\. Received 200 samples and 3 predictions"),
        (X, None, {}, r"predictions must be what the model answers to x\. Received None"),
        (
            iter([1]),
            Y,
            {},
            r"x must be an array, .*Received a list_iterator\. Of what is none, gather",
        ),
        ({"a": X, "b": None}, Y, {}, r"x of 'b' must be an array, .*Received a NoneType"),
        (np.zeros((0, 3)), Y, {}, r"x must hold samples\. Received the shape \(0, 3\)"),
        (X, Y, {"buckets": 3}, r"buckets must be an integer from 8 to 4096\. Received 3"),
        (X, Y, {"buckets": True}, "Received True"),
        (X, Y, {"classifier": "yes"}, r"classifier must be True, False or None\. Received 'yes'"),
        (X, Y, {"classifier": np.ones(2)}, r"classifier must be .*Received array\(\[1\., 1\.\]\)"),
        ({}, Y, {}, r"x must hold samples\. Received \{\}\."),
        (X, {"a": []}, {}, r"predictions must hold samples\. Received the shape \(0, 1\)"),
        (np.array(["a"]), ["b"], {}, "x must be numbers"),
    ],
)
def test_what_makes_none(x, predictions, options, message):
    with pytest.raises(ValueError, match=message):
        drift_reference(x, predictions, **options)


def rewritten(path, **changed):
    """The file with other arrays, or without those that are None."""
    REFERENCES["a classifier"].save(path)
    with np.load(path) as arrays:
        kept = dict(arrays)
    about = json.loads(str(kept["about"]))
    about |= changed.pop("about", {})
    kept["about"] = json.dumps(about)
    kept |= changed
    with path.open("wb") as file:
        np.savez(file, **{name: each for name, each in kept.items() if each is not None})


COUNTS = REFERENCES["a classifier"].inputs.counts
ENDS = REFERENCES["a classifier"].inputs.ends
MENDED = r"\. Pass a file that DriftReference\.save wrote\.$"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"about": {"format": "another"}}, "it holds something else"),
        ({"about": {"version": 2}}, "it is of version 2, and this gangplank reads version 1"),
        ({"about": {"inputs": [["a", [9]]]}}, "the arrays of its inputs do not have the shapes"),
        ({"about": {"inputs": 3}}, r"it holds no reference \(TypeError\)"),
        ({"about": {"classes": [["", 2]]}}, "its classes are not among its outputs"),
        ({"inputs_counts": None}, r"it holds no reference \(KeyError\)"),
        ({"inputs_counts": COUNTS.astype(float)}, "an array has the dtype float64 and the shape"),
        ({"inputs_counts": -COUNTS}, "the buckets or counts of its inputs are none"),
        ({"inputs_counts": COUNTS * 2}, "inputs and outputs are not of as many samples"),
        ({"inputs_ends": ENDS[:, ::-1].copy()}, "the buckets or counts of its inputs are none"),
        (
            {"inputs_ends": np.full_like(ENDS, np.nan)},
            "the buckets or counts of its inputs are none",
        ),
        ({"inputs_counts": np.full_like(COUNTS, 1 << 62)}, "the buckets or counts of its inputs"),
        ({"about": {"inputs": [["a", [-7, -1]]]}}, "the samples of its inputs have no such shape"),
        (
            {"about": {"inputs": [["a", [float("inf")]]]}},
            r"it holds no reference \(OverflowError\)",
        ),
        ({"classes_0": np.array([-1, 0, 0, 1])}, "its counts of classes are none of its samples"),
        ({"classes_0": np.array([0, 0, 0, 201])}, "its counts of classes are none of its samples"),
        ({"inputs_counts": np.array([[{}]])}, r"it holds no reference \(ValueError\)"),
    ],
)
def test_files_that_hold_none(changed, message, tmp_path):
    rewritten(tmp_path / "bad", **changed)
    with pytest.raises(ValueError, match=f"bad cannot be loaded: {message}.*{MENDED}") as raised:
        DriftReference.load(tmp_path / "bad")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["text", "empty", "half", "npy", "zip"])
def test_other_files(kind, tmp_path):
    path = tmp_path / "bad"
    REFERENCES["a classifier"].save(path)
    if kind == "text":
        path.write_text("no reference\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, COUNTS)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("about.npy", b"nothing")
    with pytest.raises(ValueError, match=f"bad cannot be loaded: it holds no reference.*{MENDED}"):
        DriftReference.load(path)


def test_bytes_that_a_disk_has_damaged_are_no_surprise(tmp_path):
    """Whatever is damaged, there is that error, or what was damaged plays no part."""
    path = tmp_path / "bad"
    REFERENCES["a classifier"].save(path)
    whole = np.fromfile(path, np.uint8)
    rng = np.random.default_rng(0)
    messages = set()
    for i in range(1000):
        damaged = whole.copy()
        # NumPy, zipfile and zlib each find something else at the end, where the places stand.
        places = rng.integers(0 if i % 2 else whole.size - 400, whole.size, 1 + i % 3)
        damaged[places] = rng.integers(0, 256, places.size)
        path.write_bytes(damaged)
        try:
            assert DriftReference.load(path) == REFERENCES["a classifier"]
        except ValueError as error:
            messages.add(str(error))
    assert all("cannot be loaded: it" in message for message in messages)
    assert any("(OSError)" in message for message in messages)


def test_a_header_that_is_no_python(tmp_path):
    path = tmp_path / "bad"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", b"\x93NUMPY\x01\x00\x06\x00{'a':\n")
    with pytest.raises(ValueError, match=f"bad cannot be loaded: it holds no reference.*{MENDED}"):
        DriftReference.load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        DriftReference.load(tmp_path / "none")
    with pytest.raises(OSError, match="none"):
        REFERENCES["a classifier"].save(tmp_path / "none" / "reference")


def test_public_names():
    assert gangplank.drift_reference is drift_reference
    assert gangplank.DriftReference is DriftReference
