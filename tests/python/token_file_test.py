"""Token files in numpy: mapped as they are, with the ids that `ecp` reads."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

try:
    import numpy
except ImportError:
    numpy = None

ECP = Path(os.environ["ECP_BINARY_DIR"]) / "ecp"


@unittest.skipIf(numpy is None, "needs numpy (scripts/setup --python)")
class TokenFile(unittest.TestCase):
    def run_ecp(self, *arguments):
        return subprocess.run([ECP, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=300).stdout

    def test_numpy_maps_it(self):
        words = "the house was old and nobody had lived there since winter".split()
        content = "\n".join(" ".join(words[(i * i + k * i) % len(words)] for k in range(8)) for i in range(300))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "a.txt").write_text(content, encoding="utf-8")
            for tokenizer in (("--tokenizer", "bytes"), ("--train-tokenizer", "bpe", "--vocab-size", "300")):
                self.run_ecp("tokenize", folder / "a.txt", "--output", folder / "a.npy", "--force", *tokenizer)
                sidecar = json.loads((folder / "a.json").read_text(encoding="utf-8"))
                tokens = numpy.load(folder / "a.npy", mmap_mode="r")
                self.assertIsInstance(tokens, numpy.memmap)
                self.assertEqual((tokens.dtype, tokens.shape), (numpy.uint16, (sidecar["tokens"],)))
                window, = json.loads(self.run_ecp("data", "show", folder / "a.npy", "--windows", 1, "--length", 10**6, "--json"))
                self.assertEqual(tokens.tolist(), window["parts"][0]["tokens"])
            # What numpy saves anew is the same file.
            numpy.save(folder / "b.npy", tokens)
            self.assertEqual((folder / "b.npy").read_bytes(), (folder / "a.npy").read_bytes())


if __name__ == "__main__":
    unittest.main()
