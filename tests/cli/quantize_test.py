"""ecp quantize: int8 weights, what they cost, and bad input."""

import json
import shutil
import unittest
from pathlib import Path

from support import CommandTest, written_checkpoints


def setUpModule():
    global written, originals
    written = written_checkpoints()
    originals = Path(written.name)


def tearDownModule():
    written.cleanup()


class Quantize(CommandTest):
    def setUp(self):
        super().setUp()
        shutil.copytree(originals / "bytes", self.folder / "model")
        self.write("text.txt", "the cat sat on the mat and the dog sat on the log\n" * 20)
        self.ecp("tokenize", "text.txt", "--tokenizer", "bytes", "--output", "text.npy")

    def test_tells_what_it_costs_and_generates(self):
        result = json.loads(self.ecp("quantize", "model", "--output", "small", "--data", "text.npy", "--tokens", "200",
                                     "--json").stdout)
        self.assertLess(result["bytes_after"], 0.4 * result["bytes_before"])
        self.assertEqual(result["tokens"], 200)
        self.assertGreater(result["perplexity_before"], 1)
        self.assertAlmostEqual(result["perplexity_after"] / result["perplexity_before"], 1, delta=0.02)
        self.assertNotEqual(result["perplexity_after"], result["perplexity_before"])
        text = self.ecp("generate", "small", "--prompt", "the", "--max-tokens", "20", "--temperature", "0").stdout
        self.assertTrue(text.startswith("the"))
        self.ecp("checkpoint", "verify", "small")
        # The values it stands for, in float32: the same text.
        self.ecp("checkpoint", "convert", "small", "--output", "wide", "--dtype", "float32")
        wide = self.ecp("generate", "wide", "--prompt", "the", "--max-tokens", "20", "--temperature", "0").stdout
        self.assertEqual(text, wide)

    def test_measures_on_the_runs_own_data_or_says_that_it_does_not(self):
        done = self.ecp("quantize", "model", "--output", "small")
        self.assertIn("perplexity: not measured", done.stdout)
        run = self.folder / "run"
        (run / "checkpoints").mkdir(parents=True)
        shutil.copytree(self.folder / "model", run / "checkpoints/best")
        self.write("run/config.toml", '[model]\nvocab = 256\n[data]\ntrain = ["text.npy"]\nvalidation = "text.npy"\n')
        done = self.ecp("quantize", "run", "--output", "other")
        self.assertRegex(done.stdout, r"perplexity per token: \d+\.\d+, \d+\.\d+ before \([+-]\d\.\d+ %\), on 999 tokens of text.npy")

    def test_refuses_what_it_cannot_do_and_leaves_nothing(self):
        (self.folder / "taken").mkdir()
        done = self.ecp("quantize", "model", "--output", "taken", code=1)
        self.assertIn("output 'taken': expected a new folder, it exists", done.stderr)
        done = self.ecp("quantize", "model", "--output", "new", "--data", "none.npy", code=1)
        self.assertIn("none.npy", done.stderr)
        done = self.ecp("quantize", "nowhere", "--output", "new", code=1)
        self.assertIn("checkpoint 'nowhere': no such folder", done.stderr)
        done = self.ecp("quantize", str(originals / "words"), "--output", "new", "--data", "text.npy", code=1)
        self.assertIn("its tokens aren't those of the checkpoint's tokenizer", done.stderr)
        done = self.ecp("quantize", str(originals / "tokens"), "--output", "new", "--data", "text.npy", code=1)
        self.assertIn("expected tokens of the model's vocabulary of 50, got a vocabulary of 256", done.stderr)
        self.assertFalse((self.folder / "new").exists())


if __name__ == "__main__":
    unittest.main()
