"""What Keras saves, and other HDF5: it is counted exactly, and of bad files it is told why."""

import math
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
from checkpoints import assert_counted, refused
from corpus import BOUNDS
from hypothesis import given
from hypothesis import strategies as st

from gangplank import weights_histogram, weights_histograms
from gangplank._native import host_memory
from gangplank.checkpoints import open_checkpoint


class TestKeras:
    @pytest.fixture(params=["float32", "float16", "bfloat16", "float64"])
    def model(self, request):
        """A model with the state of an optimizer, of random seeds and of metrics."""
        layers, dtype = keras.layers, request.param
        if keras.backend.backend() == "jax" and dtype == "float64":
            pytest.skip("JAX has no 64 bits unless it is told so")
        keras.utils.set_random_seed(0)
        inner = keras.Sequential([keras.Input((200,)), layers.Dense(300, dtype=dtype)])
        model = keras.Sequential(
            [
                keras.Input((200,)),
                inner,
                layers.BatchNormalization(dtype=dtype),
                layers.Dropout(0.5, dtype=dtype),
                layers.Dense(3, dtype=dtype),
            ]
        )
        model.compile("adam", "mse", metrics=["accuracy"])
        model.optimizer.build(model.trainable_variables)
        return model

    @pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
    def test_what_keras_saves(self, model, name, tmp_path):
        path = tmp_path / name
        model.save_weights(path) if name.endswith(".h5") else model.save(path)
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.left_out == {}
            for bounds in BOUNDS.values():
                expected = weights_histogram(model, bounds, weights="all")
                assert weights_histogram(checkpoint.arrays, bounds) == expected
            names = list(weights_histograms(checkpoint.arrays, [0.0], per="variable"))
        assert len(names) == 8
        assert "layers/sequential/layers/dense/vars/0" in names

    def test_a_keras_file_that_was_compressed_afterwards(self, model, tmp_path):
        model.save(tmp_path / "a.keras")
        path = tmp_path / "b.keras"
        with (
            zipfile.ZipFile(tmp_path / "a.keras") as stored,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for name in stored.namelist():
                packed.writestr(name, stored.read(name))
        with open_checkpoint(path) as checkpoint:
            expected = weights_histogram(model, [0.0], weights="all")
            assert weights_histogram(checkpoint.arrays, [0.0]) == expected

    def test_a_compressed_one_where_there_is_no_room_to_unpack_it(self, tmp_path, monkeypatch):
        path = tmp_path / "a.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("model.weights.h5", bytes(999))

        def fail():
            raise FileNotFoundError(2, "No usable temporary directory found")

        monkeypatch.setattr("tempfile.TemporaryFile", fail)
        assert "cannot be unpacked: [Errno 2] No usable temporary directory" in refused(path)

    @pytest.mark.parametrize("names", [("dense1", "dense2"), ("hidden", "meta_optimizer")])
    @pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
    def test_of_any_model_the_weights_count_and_no_optimizer_s_state(self, names, name, tmp_path):
        """Whether "layers" stand beside the optimizer hangs on the names of the attributes."""

        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                for each in names:
                    setattr(self, each, keras.layers.Dense(3))
                self.others = [keras.optimizers.SGD(), keras.optimizers.Adam()]
                rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
                self.critic_optimizer = keras.optimizers.SGD(rate, momentum=0.5)

            def call(self, x):
                for each in names:
                    x = getattr(self, each)(x)
                return x

        model = Net()
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "mse")
        model(np.ones((1, 3), "float32"))
        for each in (model.optimizer, model.critic_optimizer, *model.others):
            each.build(model.trainable_variables)
        path = tmp_path / name
        model.save_weights(path) if name.endswith(".h5") else model.save(path)
        with open_checkpoint(path) as checkpoint:
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 24
        if name.endswith(".h5"):
            with h5py.File(path) as opened:
                assert weights_histogram(opened, [0.0]).count == 24

    @pytest.mark.skipif(
        not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has none"
    )
    @pytest.mark.parametrize("told", [[], ["/both"]])
    def test_of_several_optimizers_in_one_the_states_are_no_weights(self, told, tmp_path):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="hidden")])
        two = [keras.optimizers.Adam(), keras.optimizers.Adam()]
        both = keras.optimizers.MultiOptimizer(lambda each: two["kernel" in each.path])
        if told:
            model.both = both
            both.build(model.trainable_variables)
        else:
            model.compile(both, "mse")
            model.fit(np.ones((2, 3)), np.ones((2, 4)), verbose=0)
        model.save_weights(tmp_path / "a.weights.h5")
        with open_checkpoint(tmp_path / "a.weights.h5") as checkpoint:
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 16
            assert list(checkpoint.left_out) == told

    @pytest.mark.parametrize("name", ["a.weights.h5", "a.keras"])
    def test_a_layer_that_begins_as_an_optimizer_does(self, name, tmp_path):
        class Observer(keras.layers.Layer):
            def build(self, _):
                self.step = self.add_weight(shape=(), dtype="int32", trainable=False)
                self.scale = self.add_weight(shape=(), trainable=False)
                self.codebook = self.add_weight(shape=(6, 4), trainable=False)

            def call(self, x):
                return x * self.scale

        class RateOptimizer(Observer):
            pass

        class Holder(Observer):
            def build(self, shape):
                super().build(shape)
                self.inner = keras.layers.Dense(4)
                self.inner.build(shape)

        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.gate, self.holder = Observer(), Holder()
                self.body = keras.Sequential([Observer(), RateOptimizer()])

            def call(self, x):
                return self.body(self.holder(self.gate(x)))

        model = Net()
        model(np.ones((1, 4), "float32"))
        path = tmp_path / name
        model.save_weights(path) if name.endswith(".h5") else model.save(path)
        with open_checkpoint(path) as checkpoint:
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 26 + 26 + 46
            assert checkpoint.left_out == {
                "/gate": "it begins with steps and a rate, as optimizers do"
            }


def hdf5(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


class TestHdf5:
    def test_datasets_as_h5py_may_have_them(self, tmp_path):
        values = np.random.default_rng(0).normal(0, 0.1, (300, 400))

        def fill(file):
            file["flat"] = values
            file["big-endian"] = values.astype(">f4")
            file.create_dataset("packed", data=values.astype("f2"), compression="gzip")
            file.create_dataset("in chunks", data=values.astype("f4"), chunks=(7, 9))
            file.create_dataset("never written", (3,), "f4")
            file["scalar"] = 0.25
            file["nothing"] = h5py.Empty("f4")

        path = hdf5(tmp_path / "a.h5", fill)
        arrays = [values, values.astype("f4"), values.astype("f2"), values.astype("f4")]
        assert_counted(path, [*arrays, np.zeros(3), np.array([0.25])])

    @pytest.mark.parametrize("packed", ["gzip", None])
    @pytest.mark.parametrize("chunks", [(1100, 1100), (300, 1100), (7, 1100), (1100, 5), (90, 80)])
    def test_each_chunk_is_read_once_where_it_is_packed_or_small(
        self, chunks, packed, tmp_path, monkeypatch
    ):
        values = np.random.default_rng(0).normal(0, 0.1, (1100, 1100)).astype("f4")
        path = hdf5(
            tmp_path / "a.h5",
            lambda file: file.create_dataset("w", data=values, chunks=chunks, compression=packed),
        )
        read = []
        get = h5py.Dataset.__getitem__
        monkeypatch.setattr(
            h5py.Dataset, "__getitem__", lambda self, place: read.append(place) or get(self, place)
        )
        monkeypatch.setattr("gangplank._native.host_memory.BLOCK", 1 << 16)
        assert_counted(path, [values])
        assert read
        is_whole = packed or np.prod(chunks) <= 1 << 16
        most = max(1 << 16, np.prod(chunks)) if is_whole else 1 << 16
        for place in read:
            lengths = [min(each.stop, 1100) - each.start for each in place]
            assert np.prod(lengths) * 1100 ** (2 - len(lengths)) <= most
            if is_whole:
                assert all(
                    each.start % size == 0 for each, size in zip(place, chunks, strict=False)
                )

    @given(data=st.data(), most=st.integers(1, 60))
    def test_blocks_are_the_whole_and_part_no_chunk(self, data, most):
        shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=4)))
        chunks = tuple(data.draw(st.integers(1, 11)) for _ in shape)
        met = np.zeros(shape, int)
        for place in host_memory._places(shape, chunks, most):
            met[place] += 1
            assert met[place].size <= max(most, math.prod(chunks))
            for each, size, length in zip(place, chunks, shape, strict=False):
                assert each.start % size == 0
                assert each.stop % size == 0 or each.stop >= length
        assert (met == 1).all()

    def test_a_float_that_numpy_does_not_have(self, tmp_path):
        """HDF5 may keep fewer bits than the dtype has that h5py reads them as."""
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(23, 15, 8, 0, 15)
        kind.set_size(3)
        kind.set_ebias(127)

        def fill(file):
            space = h5py.h5s.create_simple((4,))
            stored = h5py.h5d.create(file.id, b"odd", kind, space)
            stored.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([-1, 0.5, 0.25, 3], "f4"))

        assert_counted(hdf5(tmp_path / "a.h5", fill), [np.array([-1, 0.5, 0.25, 3])])

    def test_what_stands_in_two_places_counts_once(self, tmp_path):
        def fill(file):
            file["a/b/w"] = np.ones(3)
            file["a/same"] = file["a/b/w"]
            file["a/b/round"] = file["a"]

        assert_counted(hdf5(tmp_path / "a.h5", fill), [np.ones(3)])

    def test_of_a_whole_model_of_keras_2_the_optimizer_is_no_weight(self, tmp_path):
        def fill(file):
            file["model_weights/dense/kernel:0"] = np.ones(3)
            file["optimizer_weights/m"] = np.ones(4)

        assert_counted(hdf5(tmp_path / "a.h5", fill), [np.ones(3)])

    def test_what_cannot_be_counted_is_left_out(self, tmp_path):
        def fill(file):
            file["text"] = "abc"
            file["a/z"] = np.ones(2, "c8")
            file["a/w"] = np.ones(2)

        with open_checkpoint(hdf5(tmp_path / "a.h5", fill)) as checkpoint:
            assert checkpoint.left_out == {
                "/a/z": "its dtype is complex64",
                "/text": "its dtype is object",
            }
            assert weights_histogram(checkpoint.arrays, [0.0]).count == 2

    @pytest.mark.parametrize("link", [h5py.ExternalLink("b.h5", "w"), h5py.SoftLink("/a")])
    def test_links_are_not_followed(self, link, tmp_path):
        hdf5(tmp_path / "b.h5", lambda file: file.create_dataset("w", data=np.ones(3)))

        def fill(file):
            file["a/link"] = link

        path = hdf5(tmp_path / "a.h5", fill)
        assert refused(path) == "'/a/link' is a link, which is not followed."

    def test_values_in_another_file(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_bytes(bytes(range(8)))

        def external(file):
            file.create_dataset("w", (8,), "u1", external=[(str(secret), 0, 8)])

        def virtual(file):
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "w", (3,))
            file.create_virtual_dataset("w", layout)

        for fill in (external, virtual):
            path = hdf5(tmp_path / "a.h5", fill)
            assert refused(path) == "the values of '/w' are in another file."

    def test_groups_that_are_nested_deep(self, tmp_path):
        path = hdf5(tmp_path / "a.h5", lambda file: file.create_group("/".join(["a"] * 200)))
        assert refused(path) == "its groups are nested more than 100 deep."

    def test_a_file_that_is_cut_short(self, tmp_path):
        path = hdf5(tmp_path / "a.h5", lambda file: file.create_dataset("w", data=np.ones(9999)))
        os.truncate(path, path.stat().st_size // 2)
        assert "it is no HDF5 that can be read: " in refused(path)
        assert "truncated file" in refused(path)

    def test_a_packed_piece_that_is_corrupt(self, tmp_path):
        def fill(file):
            data = np.random.default_rng(0).normal(size=9999)
            file.create_dataset("w", data=data, compression="gzip", fletcher32=True)
            file["w"].id.get_chunk_info(0)
            self.offset = file["w"].id.get_chunk_info(0).byte_offset

        path = hdf5(tmp_path / "a.h5", fill)
        content = bytearray(path.read_bytes())
        content[self.offset + 100] ^= 255
        path.write_bytes(content)
        assert "'/w' cannot be read: " in refused(path)

    @pytest.mark.parametrize("content", [b"", b"no HDF5" * 99, b"\x89HDF\r\n\x1a\n"])
    def test_a_file_that_is_none(self, content, tmp_path):
        (tmp_path / "a.weights.h5").write_bytes(content)
        assert "it is no HDF5 that can be read: " in refused(tmp_path / "a.weights.h5")
