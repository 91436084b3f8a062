"""ecp bench: figures beside a ceiling, as a table, as JSON and on request; bad input."""

import json
import shutil
import subprocess
import unittest
from pathlib import Path

from support import BINARY, CommandTest, needs_training, written_checkpoints

SMALL = ["--set", "model.dim=32", "--set", "model.layers=1", "--set", "model.heads=2", "--set", "model.vocab=64",
         "--set", "model.sequence=64", "--set", "model.block=16"]


class Bench(CommandTest):
    def json_of(self, *arguments):
        return json.loads(self.ecp("bench", *arguments, "--rounds", "2", "--threads", "1", "--json").stdout)

    def check(self, result, name, works):
        self.assertEqual(result["benchmark"], name)
        self.assertGreater(result["ceiling"]["rate"], 0)
        self.assertGreater(result["peak_memory"], 1e6)
        self.assertEqual(result["rounds"]["counted"], 2)
        self.assertIn(result["rounds"]["undisturbed"], (0, 1, 2))
        self.assertEqual([work["name"] for work in result["works"]], works)
        for work in result["works"]:
            self.assertGreater(work["seconds"], 0)
            self.assertGreater(work["rate"], 0)
            self.assertGreater(work["of_ceiling"], 0)
            self.assertGreater(work["tokens_per_second"], 0)

    def test_decode(self):
        for dtype in ("float32", "bfloat16", "int8"):
            result = self.json_of("decode", "--dtype", dtype, *SMALL)
            self.check(result, "decode", ["token"])
            self.assertIn(dtype, result["about"])
        table = self.ecp("bench", "decode", *SMALL, "--rounds", "2", "--position", "200").stdout
        self.assertRegex(table, r"memory read +\d+\.\d\n")
        self.assertRegex(table, r"token +\d+\.\d +\d+\.\d+ +\d+\.\d +\d+\.\d\d\n")

    def test_decode_of_a_checkpoint(self):
        with written_checkpoints() as folder:
            shutil.copytree(Path(folder) / "bytes", self.folder / "model")
        self.check(self.json_of("decode", "model"), "decode", ["token"])
        done = self.ecp("bench", "decode", "model", "--dtype", "int8", code=1)
        self.assertIn("--set and --dtype are for random weights; 'model' has its own", done.stderr)
        self.assertIn("nowhere", self.ecp("bench", "decode", "nowhere", code=1).stderr)

    def test_answers_requests(self):
        done = subprocess.run([BINARY / "ecp", "bench", "decode", *SMALL, "--requests"], input="token 5\nceiling 2\ntoken 1\n",
                              capture_output=True, text=True, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([answer["position"] for answer in answers], [5, 5, 6])
        done = subprocess.run([BINARY / "ecp", "bench", "decode", *SMALL, "--requests"], input="tokne 5\n", capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected one of ceiling, token and a number of repeats, got 'tokne'", done.stderr)

    @needs_training
    def test_with_libtorch(self):
        sizes = ["--sequence", "64", "--block", "16", "--heads", "2", "--width", "16"]
        for dtype in ("float32", "auto"):  # bfloat16 may lack kernels here
            self.check(self.json_of("attention", *sizes, "--dtype", dtype), "attention", ["forward", "backward"])
            self.check(self.json_of("loss", "--tokens", "40", "--dim", "32", "--vocab", "100", "--dtype", dtype), "loss",
                       ["loss", "loss_and_gradients"])
            self.check(self.json_of("train", *SMALL, "--set", f"train.dtype={dtype}"), "train", ["step"])
        self.check(self.json_of("attention", *sizes, "--architecture", "full", "--head-major"), "attention", ["forward", "backward"])

    @needs_training
    def test_bad_input_with_libtorch(self):
        for arguments, message in (
                (["attention", "--width", "12"], "--width: expected a multiple of 8, got 12"),
                (["attention", "--sequence", "4000000000"], "memory: the inputs (try a smaller --sequence) would take"),
                (["loss", "--vocab", "4000000000", "--dim", "4000000000"], "memory: the inputs (try a smaller --vocab) would take"),
                (["train", "--set", "model.classes=10"], "ecp bench train")):
            done = self.ecp("bench", *arguments, code=1)
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_bad_input(self):
        self.assertIn("(see ecp bench --help)", self.ecp("bench", code=2).stderr)
        self.assertIn("did you mean 'attention'?", self.ecp("bench", "attenton", code=2).stderr)
        self.assertIn("did you mean '--position'?", self.ecp("bench", "decode", "--positoin", "3", code=2).stderr)
        self.assertIn("--dtype", self.ecp("bench", "decode", "--dtype", "int4", code=2).stderr)
        self.ecp("bench", "decode", "--rounds", "0", code=2)
        done = self.ecp("bench", "decode", "--set", "model.dim=60000", "--set", "model.layers=100", code=1)
        self.assertRegex(done.stderr, r"memory: random weights would take [\d.]+ GB, [\d.]+ GB are free")
        self.ecp("bench", "decode", "--json", "--requests", code=2)


if __name__ == "__main__":
    unittest.main()
