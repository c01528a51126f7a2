"""Files of NumPy: real ones are counted exactly, and of bad ones it is told why."""

import io
import os
import pickle
import struct
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest
from checkpoints import assert_counted, refused, values_of
from corpus import FLOATS, INTEGERS

from gangplank.checkpoints import open_checkpoint


class TestNumPy:
    COUNTED = (*(dtype for dtype in FLOATS if dtype.isbuiltin == 1), *INTEGERS)

    @pytest.mark.parametrize("dtype", COUNTED, ids=str)
    def test_every_dtype(self, dtype, tmp_path):
        values = np.resize(values_of(dtype), (10, 2000))
        np.savez(tmp_path / "a.npz", a=values, b=values[:1], c=values[0, 0], d=values[:0])
        np.savez_compressed(tmp_path / "b.npz", a=values, b=values[:1], c=values[0, 0])
        for name in ("a.npz", "b.npz"):
            assert_counted(tmp_path / name, [values, values[:1], values[:1, 0]])
        np.save(tmp_path / "a.npy", np.asfortranarray(values))
        assert_counted(tmp_path / "a.npy", [values])
        np.save(tmp_path / "a.npy", values.astype(dtype.newbyteorder(">")))
        assert_counted(tmp_path / "a.npy", [values])

    def test_the_names_of_arrays(self, tmp_path):
        np.savez(tmp_path / "a.npz", **{"encoder/kernel": np.ones(3), "b": np.ones(2)})
        with open_checkpoint(tmp_path / "a.npz") as checkpoint:
            assert list(checkpoint.arrays) == ["encoder/kernel", "b"]
        np.save(tmp_path / "kernel.npy", np.ones(3))
        with open_checkpoint(tmp_path / "kernel.npy") as checkpoint:
            assert list(checkpoint.arrays) == ["kernel"]

    def test_dtypes_that_numpy_does_not_keep_are_left_out(self, tmp_path):
        np.savez(tmp_path / "a.npz", a=np.ones(3, ml_dtypes.bfloat16), b=np.array(["x"]))
        with open_checkpoint(tmp_path / "a.npz") as checkpoint:
            assert checkpoint.left_out == {"a": "its dtype is void16", "b": "its dtype is str32"}

    def test_a_member_that_ends_early(self, tmp_path):
        path = tmp_path / "a.npz"
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (1000,)}
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", header.getvalue() + bytes(2000))
        size = len(header.getvalue()) + 2000
        data = path.read_bytes()
        assert data.count(struct.pack("<I", size)) >= 2  # in the member's head and the directory
        path.write_bytes(data.replace(struct.pack("<I", size), struct.pack("<I", size + 2000)))
        assert "2,000 bytes are missing" in refused(path)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_what_cannot_be_unpacked_piece_by_piece_is_refused(self, method, tmp_path):
        np.save(tmp_path / "a.npy", np.ones(3))
        for name, member in (("a.npz", "a.npy"), ("a.keras", "model.weights.h5")):
            with zipfile.ZipFile(tmp_path / name, "w", method) as packed:
                packed.write(tmp_path / "a.npy", member)
            problem = f"its member {member!r} is compressed by another method than Deflate."
            assert refused(tmp_path / name) == problem

    def test_a_member_without_a_name_is_left_out(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr(zipfile.ZipInfo("\0"), b"x")
            archive.writestr("folder/", b"")
        with open_checkpoint(tmp_path / "a.npz") as checkpoint:
            assert checkpoint.left_out == {"": "it is no .npy file"}

    def test_every_array_counts_whatever_its_name(self, tmp_path):
        np.savez(tmp_path / "a.npz", layers=np.ones(2), optimizer=np.ones(7))
        assert_counted(tmp_path / "a.npz", [np.ones(9)])

    def test_no_pickle_is_loaded(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "sprung"),)

        objects = np.array([Trap(), 1], object)
        np.save(tmp_path / "a.npy", objects)
        np.savez(tmp_path / "a.npz", ok=np.ones(3), objects=objects)
        problem = "holds Python objects, as pickles, which are never loaded."
        assert refused(tmp_path / "a.npy") == f"it {problem}"
        assert refused(tmp_path / "a.npz") == f"its member 'objects.npy' {problem}"
        (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
        assert "it is no zip file" in refused(tmp_path / "b.npz")
        (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
        assert "it is no .npy file that can be read: " in refused(tmp_path / "b.npy")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        ("header", "problem"),
        [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "does not have the 8 byte"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "corrupt or cut short"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2**60,)}", "no .npy file that"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (999999,) }", "does not have the"),
            ("{'descr': '<f9', 'fortran_order': False, 'shape': (2,)}", "no .npy file that"),
            ("__import__('os').mkdir('sprung')", "no .npy file that"),
            ("{" * 5000, "no .npy file that"),
        ],
    )
    def test_a_header_that_is_wrong(self, header, problem, tmp_path):
        path = tmp_path / "a.npy"
        text = header.encode()
        path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(8))
        assert problem in refused(path)

    def test_every_cut_of_a_file_is_told_of(self, tmp_path):
        for name, save in (("a.npy", np.save), ("a.npz", lambda path, a: np.savez(path, a=a))):
            save(tmp_path / name, np.ones(3))
            whole = (tmp_path / name).read_bytes()
            for length in range(len(whole)):
                (tmp_path / name).write_bytes(whole[:length])
                refused(tmp_path / name)

    def test_members_that_make_no_checkpoint(self, tmp_path):
        array = io.BytesIO()
        np.save(array, np.ones(3))
        with (
            warnings.catch_warnings(action="ignore"),  # of the second one of a name
            zipfile.ZipFile(tmp_path / "a.npz", "w") as archive,
        ):
            archive.writestr("a.npy", array.getvalue())
            archive.writestr("a.npy", array.getvalue())
        assert refused(tmp_path / "a.npz") == "it has 'a' twice."

    def test_a_member_that_is_no_array_is_left_out(self, tmp_path):
        np.savez(tmp_path / "a.npz", a=np.ones(3))
        with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
            archive.writestr("README.txt", "Of a model.")
            archive.writestr("b", "Of another one.")
            archive.mkdir("c")
            with archive.open("b.npy", "w") as member:
                np.save(member, np.ones(2))
        with open_checkpoint(tmp_path / "a.npz") as checkpoint:
            assert list(checkpoint.arrays) == ["a", "b"]
            assert checkpoint.left_out == dict.fromkeys(["README.txt", "b"], "it is no .npy file")

    def test_a_system_that_takes_no_advice_of_how_files_are_read(self, tmp_path, monkeypatch):
        monkeypatch.delattr(os, "posix_fadvise")
        np.save(tmp_path / "a.npy", np.ones(3))
        assert_counted(tmp_path / "a.npy", [np.ones(3)])
