"""ecp score: against the golden file, and what it says to arrays that it cannot take."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
SHARED = Path(os.environ.get("ECP_SHARED", SOURCE / ".." / "shared"))
GOLDEN = SHARED / "golden" / "ecp.safetensors"


def run(*arguments):
    return subprocess.run([BINARY / "ecp", *map(str, arguments)], capture_output=True, text=True)


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        code = {"F32": "f", "I64": "q"}[entry["dtype"]]
        values = struct.unpack(f"<{(end - begin) // struct.calcsize(code)}{code}", data[8 + size + begin:8 + size + end])
        tensors[name] = (entry["shape"], values)
    return metadata, tensors


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_npy(path, shape, values, descr="<i8", fortran=False):
    code = {"<i8": "q", "<i4": "i", "<u2": "H", "<u4": "I", "<f4": "f", "<i2": "h"}[descr]
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({', '.join(map(str, shape))},), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     struct.pack(f"<{len(values)}{code}", *values))


def our_name(name):
    """The authors' name of a tensor in ours."""
    fixed = {"token_emb.weight": "embedding.weight", "to_logits.0": "norm", "to_logits.1": "classifier"}
    for old, new in fixed.items():
        name = name.replace(old, new)
    if name.startswith("layers."):
        _, layer, rest = name.split(".", 2)
        for old, new in {"0.norm": "attention.norm", "1.norm": "ffn.norm", "1.fn.net.0": "ffn.up",
                         "1.fn.net.3": "ffn.down", "0.fn.to_q": "attention.q", "0.fn.to_kv": "attention.kv",
                         "0.fn.to_out_0": "attention.out_0", "0.fn.to_out": "attention.out"}.items():
            if rest.startswith(old + "."):
                rest = new + rest.removeprefix(old)
                break
        name = f"layers.{layer}.{rest}"
    return name


class Score(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        # A model of the authors' form, small and all of small numbers, for tests without the golden file.
        vocab, dim, layers = 11, 4, 1
        shapes = {"token_emb.weight": [vocab, dim], "to_logits.0.weight": [dim], "to_logits.0.bias": [dim],
                  "to_logits.1.weight": [vocab, dim], "to_logits.1.bias": [vocab]}
        for i in range(layers):
            at = f"layers.{i}."
            shapes |= {at + "0.norm.weight": [dim], at + "0.norm.bias": [dim], at + "1.norm.weight": [dim],
                       at + "1.norm.bias": [dim], at + "0.fn.norm.weight": [dim // 2], at + "0.fn.norm.bias": [dim // 2],
                       at + "0.fn.to_q.weight": [dim, dim], at + "0.fn.to_kv.weight": [dim, dim],
                       at + "0.fn.to_out.weight": [dim, dim], at + "0.fn.to_out.bias": [dim],
                       at + "0.fn.to_out_0.weight": [dim, dim], at + "0.fn.to_out_0.bias": [dim],
                       at + "1.fn.net.0.weight": [4 * dim, dim], at + "1.fn.net.0.bias": [4 * dim],
                       at + "1.fn.net.3.weight": [dim, 4 * dim], at + "1.fn.net.3.bias": [dim]}
        tensors = {}
        for name, shape in shapes.items():
            count = 1
            for extent in shape:
                count *= extent
            tensors["model." + name] = (shape, [((7 * i + len(name)) % 13 - 6) / 10 for i in range(count)])
        write_safetensors(cls.path / "authors.safetensors", tensors,
                          {"architecture": "ecp", "vocab": "11", "dim": "4", "layers": "1", "heads": "2",
                           "sequence": "8", "block": "4"})
        result = run("import", cls.path / "authors.safetensors", "--output", cls.path / "small")
        assert result.returncode == 0, result.stderr

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check_failure(self, expected, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn(expected, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_agrees_with_the_golden_file(self):
        if not GOLDEN.exists():
            self.skipTest(f"{GOLDEN} is not there")
        _, golden = read_safetensors(GOLDEN)
        result = run("import", GOLDEN, "--output", self.path / "golden")
        self.assertEqual(result.returncode, 0, result.stderr)
        shape, ids = golden["input_ids"]
        write_npy(self.path / "ids.npy", shape, ids)
        result = run("score", self.path / "golden", "--tokens", self.path / "ids.npy", "--logits",
                     self.path / "logits.safetensors", "--grads", self.path / "grads.safetensors", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        loss = golden["loss"][1][0]
        self.assertAlmostEqual(json.loads(result.stdout)["loss"], loss, delta=5e-6 * loss)

        _, logits = read_safetensors(self.path / "logits.safetensors")
        self.assertEqual(logits["logits"][0], golden["logits"][0])
        self.assertLessEqual(max(abs(a - b) for a, b in zip(logits["logits"][1], golden["logits"][1])), 2e-5)

        _, grads = read_safetensors(self.path / "grads.safetensors")
        compared = 0
        for name, (shape, want) in golden.items():
            if not name.startswith("grad."):
                continue
            got_shape, got = grads[our_name(name.removeprefix("grad."))]
            self.assertEqual(got_shape, shape, name)
            self.assertLessEqual(max(abs(a - b) for a, b in zip(got, want)), 1e-4 * max(map(abs, want)), name)
            compared += 1
        self.assertGreater(compared, 30)

    def test_every_dtype_gives_the_same_loss(self):
        losses = set()
        for descr in ("<i8", "<i4", "<u2", "<u4"):
            write_npy(self.path / "ids.npy", [2, 6], [0, 1, 2, 3, 4, 5, 10, 9, 8, 7, 6, 5], descr)
            result = run("score", self.path / "small", "--tokens", self.path / "ids.npy", "--json")
            self.assertEqual(result.returncode, 0, result.stderr)
            answer = json.loads(result.stdout)
            self.assertEqual((answer["batch"], answer["n"], answer["tokens"]), (2, 5, 10))
            losses.add(answer["loss"])
        self.assertEqual(len(losses), 1)

    def test_bad_input(self):
        tokens = self.path / "bad.npy"
        score = ("score", self.path / "small", "--tokens", tokens)
        for expected, shape, values, options in [
            ("expected 2 dimensions [batch, n+1], got 1", [4], [1, 2, 3, 4], {}),
            ("expected dtype int64, int32, uint16 or uint32", [1, 2], [1, 2], {"descr": "<f4"}),
            ("expected dtype int64, int32, uint16 or uint32", [1, 2], [1, 2], {"descr": "<i2"}),
            ("expected rows one after the other (C order)", [2, 2], [1, 2, 3, 4], {"fortran": True}),
            ("expected [batch, n+1] with batch and n of at least 1, got [2, 1]", [2, 1], [1, 2], {}),
            ("expected [batch, n+1] with batch and n of at least 1, got [0, 5]", [0, 5], [], {}),
            ("row 0, column 1: expected a token from 0 to 10, got 11", [1, 3], [1, 11, 2], {}),
            ("row 1, column 0: expected a token from 0 to 10, got -1", [2, 2], [1, 2, -1, 3], {"descr": "<i4"}),
        ]:
            with self.subTest(expected=expected):
                write_npy(tokens, shape, values, **options)
                self.check_failure(expected, *score)
        write_npy(tokens, [2, 4], range(8))
        whole = tokens.read_bytes()
        for name, content in [("cut", whole[:-8]), ("longer", whole + b"12345678"), ("no array", b"hello"),
                              ("empty", b""), ("huge", whole.replace(b"(2, 4,)", b"(2, 9999999999999999999,)"))]:
            with self.subTest(name):
                tokens.write_bytes(content)
                self.check_failure("bad.npy", *score)
        tokens.unlink()
        self.check_failure("bad.npy", *score)
        write_npy(tokens, [2, 4], range(8))
        self.check_failure("nowhere", "score", self.path / "nowhere", "--tokens", tokens)
        self.check_failure("no/folder", *score, "--logits", self.path / "no/folder/logits.safetensors")

    def test_an_output_never_overwrites_an_input(self):
        tokens = self.path / "ids.npy"
        write_npy(tokens, [2, 4], range(8))
        score = ("score", self.path / "small", "--tokens", tokens)
        before = {path: path.read_bytes() for path in self.path.rglob("*") if path.is_file()}
        for option in ("--logits", "--grads"):
            self.check_failure("would be overwritten", *score, option, self.path / "small" / "model.safetensors")
            self.check_failure("ending in .safetensors", *score, option, tokens)
        both = self.path / "both.safetensors"
        self.check_failure("expected two files", *score, "--logits", both, "--grads", both)
        self.assertEqual({path: path.read_bytes() for path in self.path.rglob("*") if path.is_file()}, before)


if __name__ == "__main__":
    if not (BINARY / "ecp-torch").exists():
        print("skipped: built without LibTorch")
        sys.exit(77)
    unittest.main()
