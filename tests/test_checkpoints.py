"""Which files are checkpoints, and archives that are none."""

import os
import struct
import zipfile

import numpy as np
import pytest
from checkpoints import refused

from gangplank.checkpoints import CheckpointError, open_checkpoint


class TestZip:
    def test_a_keras_file_without_weights(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        assert refused(tmp_path / "a.keras") == (
            "it is no .keras with weights: it has no model.weights.h5."
        )

    @pytest.mark.parametrize("name", ["a.keras", "a.npz"])
    @pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(99), b"\x80\4]."])
    def test_a_file_that_is_no_archive(self, name, content, tmp_path):
        (tmp_path / name).write_bytes(content)
        assert "it is no zip file, or cut short: File is not a zip file" in refused(tmp_path / name)

    def test_a_member_that_lies_elsewhere(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, a=np.ones(9999))
        content = path.read_bytes()
        directory = content.rindex(b"PK\1\2")
        offset = struct.pack("<I", 4000)
        path.write_bytes(content[: directory + 42] + offset + content[directory + 46 :])
        assert "its member 'a.npy' cannot be read: " in refused(path)

    def test_a_compressed_member_that_is_corrupt(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, a=np.random.default_rng(0).normal(size=9999))
        content = bytearray(path.read_bytes())
        content[30_000] ^= 255
        path.write_bytes(content)
        assert "its member 'a.npy' cannot be read: " in refused(path)


class TestOpening:
    @pytest.mark.parametrize("name", ["a.npz", "a.onnx", "a"])
    def test_a_missing_file(self, name, tmp_path):
        assert refused(tmp_path / name) == "No such file or directory"

    @pytest.mark.parametrize("name", ["a.keras", "a"])
    def test_a_folder(self, name, tmp_path):
        (tmp_path / name).mkdir()
        assert refused(tmp_path / name) == "it is a folder. Pass the file that has the weights."

    def test_a_suffix_in_capitals(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros(3))
        (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
        with open_checkpoint(tmp_path / "a.NPY") as checkpoint:
            assert len(checkpoint.arrays) == 1

    def test_a_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "a.npz")
        assert "it is no regular file." in refused(tmp_path / "a.npz")

    def test_a_name_that_is_none(self, tmp_path):
        with pytest.raises(CheckpointError, match="null"), open_checkpoint("a\0.npz"):
            pass

    @pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.pkl", "A.PTH"])
    def test_formats_of_pickles(self, name, tmp_path):
        (tmp_path / name).touch()
        problem = refused(tmp_path / name)
        assert problem.startswith("its name ends in none of .keras, ")
        assert problem.endswith("which are never loaded: save it as .safetensors.")

    def test_an_unknown_format(self, tmp_path):
        (tmp_path / "a.onnx").touch()
        assert refused(tmp_path / "a.onnx").endswith("and so its format is not known.")
        (tmp_path / "\x1b[31m.onnx").touch()
        with pytest.raises(CheckpointError, match=r"^'.*\\x1b\[31m\.onnx': its name"):
            open_checkpoint(tmp_path / "\x1b[31m.onnx")
