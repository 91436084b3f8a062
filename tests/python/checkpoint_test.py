"""Checkpoints as the safetensors library reads them: as trained, in bfloat16, in several files."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy
    from safetensors import safe_open
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"skipped: numpy and safetensors cannot be imported ({error}); scripts/setup --python installs them")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"])


def read(path):
    """Every tensor as float32. numpy knows no bfloat16: those are widened by hand from the file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        kind = {"F32": "<f4", "BF16": "<u2"}[entry["dtype"]]
        values = numpy.frombuffer(data[begin:end], kind).reshape(entry["shape"])
        tensors[name] = values if kind == "<f4" else (values.astype("<u4") << 16).view("<f4")
    return tensors


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-checkpoint-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        subprocess.run([BINARY / "test_runtime", "--gtest_filter=CheckpointFiles.LoadAndGenerate"], check=True,
                       env={**os.environ, "ECP_WRITE_CHECKPOINTS": temporary.name}, stdout=subprocess.DEVNULL)
        cls.original = load_file(cls.folder / "words/model.safetensors")

    def convert(self, name, *options):
        subprocess.run([BINARY / "ecp", "checkpoint", "convert", self.folder / "words", "--output", self.folder / name,
                        *options], check=True, stdout=subprocess.DEVNULL)
        return self.folder / name

    def test_our_files_are_read(self):
        self.assertIn("embedding.weight", self.original)
        ours = read(self.folder / "words/model.safetensors")
        self.assertEqual(ours.keys(), self.original.keys())
        for name, values in self.original.items():
            self.assertEqual(values.dtype, numpy.float32)
            numpy.testing.assert_array_equal(values, ours[name])

    def test_bfloat16_is_rounded_to_the_nearest(self):
        path = self.convert("half", "--dtype", "bfloat16") / "model.safetensors"
        with safe_open(path, "numpy") as file:
            self.assertEqual(set(file.keys()), set(self.original))
            self.assertEqual(file.metadata(), {"format": "pt"})
            for name in file.keys():
                self.assertEqual(file.get_slice(name).get_dtype(), "BF16")
                self.assertEqual(tuple(file.get_slice(name).get_shape()), self.original[name].shape)
        half = read(path)
        for name, values in self.original.items():
            # Round to nearest even as numpy counts it, in integers.
            bits = values.view("<u4").astype("<u8")
            expected = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype("<u4").view("<f4")
            numpy.testing.assert_array_equal(half[name], expected)
        try:
            import torch
            from safetensors.torch import load_file as load_torch
        except Exception:  # the slim LibTorch has no Python part that works
            return
        for name, tensor in load_torch(path).items():
            expected = torch.from_numpy(self.original[name].copy()).to(torch.bfloat16)
            self.assertTrue(torch.equal(tensor, expected), name)

    def test_several_files_with_their_index(self):
        folder = self.convert("shards", "--max-shard-size", "4KB")
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        self.assertEqual(index["weight_map"].keys(), self.original.keys())
        total, seen = 0, set()
        for name in sorted(set(index["weight_map"].values())):
            for tensor, values in load_file(folder / name).items():
                self.assertEqual(index["weight_map"][tensor], name)
                numpy.testing.assert_array_equal(values, self.original[tensor])
                total += values.nbytes
                seen.add(tensor)
        self.assertEqual(seen, set(self.original))
        self.assertEqual(index["metadata"]["total_size"], total)


if __name__ == "__main__":
    unittest.main()
