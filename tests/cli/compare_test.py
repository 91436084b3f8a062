"""ecp compare from the command line: a comparison, one that goes on, one with a failing run, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from support import BINARY, CONFIG, CommandTest, needs_training, text

SMALL = CONFIG.replace("steps = 6", "steps = 4").replace("eval_every = 3", "eval_every = 2").replace("threads = 2", "threads = 1")

COMPARISON = """
[compare]
tokens = 200
seeds = [3]
test = ["test.npy"]
set = ["train.lr=2e-3"]

[[model]]
name = "blocks"
config = "ecp.toml"

[[model]]
name = "all"
config = "ecp.toml"
set = ["model.architecture=full", "train.batch=1"]

[[model]]
name = "latents"
config = "ecp.toml"
set = ["model.architecture=perceiver_ar", "model.latents=8"]
"""


class CompareTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.tokenize("train", text(60))
        self.tokenize("validation", text(12, seed=2))
        self.tokenize("test", text(10, seed=5))
        self.write("ecp.toml", SMALL)
        self.write("full.toml", SMALL.replace("[model]", '[model]\narchitecture = "full"'))

    def read(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def report(self, folder="out"):
        return json.loads(self.read(f"{folder}/comparison.json"))


@needs_training
class Compare(CompareTest):
    def test_two_models_two_seeds(self):
        done = self.ecp("compare", "ecp.toml", "full.toml", "--output", "out", "--seeds", "1,2", "--test", "test.npy")
        self.assertRegex(done.stdout, r"Results on test\n")
        self.assertRegex(done.stdout, r"\n(ecp|full) +1 ")
        self.assertIn("ecp-seed1: training\n", done.stderr)
        self.assertIn("full-seed2: done\n", done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder / "out/runs")), ["ecp-seed1", "ecp-seed2", "full-seed1", "full-seed2"])
        report = self.report()
        self.assertTrue(report["complete"])
        self.assertEqual(report["notes"], [])
        self.assertEqual(report["seeds"], [1, 2])
        self.assertEqual([model["name"] for model in report["models"]], ["ecp", "full"])
        size = (self.folder / "test.txt").stat().st_size
        for model in report["models"]:
            self.assertEqual(model["tokens"], 4 * 2 * 32)
            self.assertEqual([run["steps"] for run in model["runs"]], [4, 4])
            self.assertEqual(model["texts"]["test"]["scored_tokens"], size, "every byte once")
            losses = [run["scores"]["test"]["loss"] for run in model["runs"]]
            self.assertEqual(model["texts"]["test"]["loss"]["least"], min(losses))
            self.assertGreater(model["peak_memory"]["most"], 1e6)
            evaluated = self.ecp("eval", f"out/runs/{model['name']}-seed1", "--data", "test.npy", "--json", "--threads", "1")
            self.assertAlmostEqual(json.loads(evaluated.stdout)["loss"], losses[0], places=6)
        for seed in (1, 2):
            self.assertIn(f"seed = {seed}\n", self.read(f"out/runs/ecp-seed{seed}/config.toml"))
        page, markdown = self.read("out/comparison.html"), self.read("out/comparison.md")
        for part in ("Validation loss over tokens", "Validation loss over time", "model.architecture"):
            self.assertIn(part, page)
        self.assertIn("| model.architecture | \"ecp\" | \"full\" |", markdown)
        self.assertIn("# Comparison of 2 models", markdown)

        # Again: nothing is left to do; with one seed more, only that is.
        before = self.read("out/runs/ecp-seed1/run.json")
        done = self.ecp("compare", "--output", "out", "--json")
        self.assertIn("4 of 4 runs are done already", done.stderr)
        self.assertEqual(json.loads(done.stdout), report)
        done = self.ecp("compare", "--output", "out", "--seeds", "1,2,3")
        self.assertIn("4 of 6 runs are done already", done.stderr)
        self.assertNotIn("seed1: ", done.stderr)
        self.assertEqual(len(self.report()["models"][0]["runs"]), 3)
        self.assertEqual(self.read("out/runs/ecp-seed1/run.json"), before)
        self.assertIn("±", self.read("out/comparison.md"))

        # The report alone, from the folder, which was moved.
        shutil.move(self.folder / "out", self.folder / "moved")
        shutil.rmtree(self.folder / "moved/runs/full-seed2")
        os.remove(self.folder / "moved/comparison.html")
        self.ecp("compare", "--output", "moved", "--report-only")
        self.assertTrue((self.folder / "moved/comparison.html").exists())
        report = self.report("moved")
        self.assertFalse(report["complete"])
        self.assertEqual(report["models"][1]["runs"][1]["stage"], "absent")

    def test_a_comparison_file_two_at_a_time(self):
        self.write("comparison.toml", COMPARISON)
        done = self.ecp("compare", "comparison.toml", "--output", "a/b", "--jobs", "2")
        self.assertIn("blocks-seed3: training\n", done.stderr)
        report = self.report("a/b")
        # 200 tokens are 4 steps of 2 windows, 7 of 1.
        self.assertEqual([model["steps"] for model in report["models"]], [4, 7, 4])
        self.assertEqual([model["tokens"] for model in report["models"]], [256, 224, 256])
        self.assertEqual([model["trained"] for model in report["models"]], [256, 224, 64])
        # Every byte once, in the same windows: of each the last 8 rows count.
        self.assertEqual([model["scored_rows"] for model in report["models"]], [8, 8, 8])
        size = (self.folder / "test.txt").stat().st_size
        self.assertEqual([model["texts"]["test"]["scored_tokens"] for model in report["models"]], [size] * 3)
        self.assertEqual(report["notes"], [])
        self.assertEqual(report["models"][1]["architecture"], "full")
        config = self.read("a/b/configs/all.toml")
        self.assertTrue(config.startswith("# ecp.toml train.lr=2e-3 model.architecture=full train.batch=1\n"), config[:80])
        self.assertIn("lr = 0.002\n", config)
        self.assertIn("one seed", self.read("a/b/comparison.md"))

    def test_without_test_text_validation_is_scored(self):
        self.ecp("compare", "ecp.toml", "--output", "out")
        report = self.report()
        self.assertTrue(report["scored_on_validation"])
        run = report["models"][0]["runs"][0]
        self.assertAlmostEqual(run["scores"]["validation"]["loss"], run["validation_loss"], places=5)

    def test_a_run_that_fails(self):
        self.write("wild.toml", SMALL.replace("[train]", "[train]\nlr = 100\nclip = 0\nmost_skipped = 0")
                   .replace("steps = 4", "steps = 20").replace("warmup = 2", "warmup = 0").replace("eval_every = 2", "eval_every = 1"))
        self.write("tame.toml", SMALL.replace("steps = 4", "steps = 20"))
        done = self.ecp("compare", "wild.toml", "tame.toml", "--output", "out", "--set", "model.init=uniform",
                        "--set", "train.beta2=0.5", "--set", "train.weight_decay=50", code=1)
        self.assertRegex(done.stderr, "wild-seed1: failed: (training stopped at step|.*the model's weights are damaged or diverged)")
        self.assertIn("ecp: error: 1 of 2 runs failed: wild-seed1; see out/logs", done.stderr)
        report = self.report()
        self.assertIn("wild-seed1 failed: ", report["notes"][0])
        self.assertEqual([entry["model"] for entry in report["texts"]["validation"]["ranking"]], ["tame"])
        self.assertIn("<td>failed: ", self.read("out/comparison.html"))
        # The next time it is tried again.
        done = self.ecp("compare", "--output", "out", code=1)
        self.assertIn("wild-seed1: training, from where it was", done.stderr)
        self.assertNotIn("tame-seed1: training", done.stderr)


@needs_training
class Interrupted(CompareTest):
    def start(self, *arguments):
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen([BINARY / "ecp", "compare", *arguments], cwd=self.folder, stdout=log, stderr=log,
                                       start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, condition, process):
        deadline = time.monotonic() + 120
        while not condition():
            self.assertIsNone(process.poll(), self.read("log"))
            self.assertLess(time.monotonic(), deadline, self.read("log"))
            time.sleep(0.005)

    def weights(self, folder, run):
        return (self.folder / folder / "runs" / run / "checkpoints/last/model.safetensors").read_bytes()

    def test_going_on_ends_as_if_nothing_had_happened(self):
        many = ["ecp.toml", "full.toml", "--set", "train.steps=60", "--set", "train.checkpoint_every=10", "--set",
                "train.eval_every=30", "--set", "train.sample_tokens=0"]
        self.ecp("compare", *many, "--output", "whole")
        process = self.start(*many, "--output", "out")
        checkpoints = self.folder / "out/runs/full-seed1/checkpoints"
        self.wait_for(lambda: checkpoints.exists() and any(n.startswith("step-") for n in os.listdir(checkpoints)), process)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        self.assertEqual(process.wait(timeout=120), 3, self.read("log"))
        said = self.read("log")
        self.assertIn("full-seed1: stopped\n", said)
        self.assertIn("\nstopped; go on with: ecp compare --output out\n", said)
        report = self.report()
        self.assertEqual([model["runs"][0]["stage"] for model in report["models"]], ["scored", "begun"])
        self.assertEqual(report["notes"], [])
        done = self.ecp("compare", "--output", "out")
        self.assertIn("1 of 2 runs are done already", done.stderr)
        self.assertIn("full-seed1: training, from where it was\n", done.stderr)
        for run in ("ecp-seed1", "full-seed1"):
            self.assertEqual(self.weights("out", run), self.weights("whole", run), run)
        scores = [[model["runs"][0]["scores"] for model in self.report(folder)["models"]] for folder in ("out", "whole")]
        self.assertEqual(scores[0], scores[1])

    def test_killed(self):
        many = ["ecp.toml", "--set", "train.steps=4000", "--set", "train.checkpoint_every=5"]
        process = self.start(*many, "--output", "out")
        self.wait_for(lambda: (self.folder / "out/runs/ecp-seed1/checkpoints/last").exists(), process)
        self.assertIn("comparison 'out'", self.fails("compare", "--output", "out"))
        process.kill()
        process.wait(timeout=60)
        # What trained ended with it, so the folder is free.
        for _ in range(200):
            done = subprocess.run([BINARY / "ecp", "train", "--output", "out/runs/ecp-seed1", "--resume", "--set",
                                   "train.steps=5"], cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            time.sleep(0.05)
        self.assertEqual(done.returncode, 0, done.stderr)


@needs_training
class Mistakes(CompareTest):
    def test_configurations(self):
        self.assertIn("expected a CONFIG or more, or a comparison file", self.fails("compare", "--output", "out"))
        self.assertIn("--output is required", self.fails("compare", "ecp.toml", code=2))
        os.mkdir(self.folder / "deep")
        shutil.copy(self.folder / "ecp.toml", self.folder / "deep/ecp.toml")
        self.assertIn("two models are called 'ecp': 'ecp.toml' and 'deep/ecp.toml'; names must tell them apart",
                      self.fails("compare", "ecp.toml", "deep/ecp.toml", "--output", "out"))
        self.assertIn("cannot read 'missing.toml'", self.fails("compare", "ecp.toml", "missing.toml", "--output", "out"))
        self.write("comparison.toml", COMPARISON)
        self.assertIn("'comparison.toml' is a comparison file: expected it alone, got 2 files",
                      self.fails("compare", "ecp.toml", "comparison.toml", "--output", "out"))
        self.assertFalse((self.folder / "out").exists())

    def test_data(self):
        for change, message in [
            ("validation = \"test.npy\"", "'other': data.validation: expected \"validation.npy\" as in 'ecp', got \"test.npy\" (--set"),
            ("validation = \"missing.npy\"", "'other': data.validation: expected"),
        ]:
            self.write("other.toml", SMALL.replace("validation = \"validation.npy\"", change))
            self.assertIn(message, self.fails("compare", "ecp.toml", "other.toml", "--output", "out"))
        self.write("other.toml", SMALL.replace("validation = \"validation.npy\"", ""))
        self.assertIn("'other': data.validation: expected a token file, by which a run's best checkpoint is chosen",
                      self.fails("compare", "other.toml", "--output", "out"))
        self.assertIn("missing.npy", self.fails("compare", "ecp.toml", "--output", "out", "--test", "missing.npy"))
        self.write("novel.txt", text(400, seed=3))
        self.ecp("tokenize", "novel.txt", "--output", "pieces.npy", "--train-tokenizer", "bpe", "--vocab-size", "285")
        self.assertIn("'pieces.npy': expected the tokenizer of 'train.npy' (bytes, 256 tokens",
                      self.fails("compare", "ecp.toml", "--output", "out", "--test", "test.npy,pieces.npy"))
        self.assertIn("expected names that tell them apart",
                      self.fails("compare", "ecp.toml", "--output", "out", "--test", "test.npy,./test.npy"))
        self.assertFalse((self.folder / "out").exists())

    def test_budgets(self):
        self.write("longer.toml", SMALL.replace("steps = 4", "steps = 5"))
        self.assertIn("'longer' would process 320 tokens and 'ecp' 256: expected the same, or --tokens",
                      self.fails("compare", "ecp.toml", "longer.toml", "--output", "out"))
        self.assertIn("'ecp': train.minutes: expected 0, got 3",
                      self.fails("compare", "ecp.toml", "--output", "out", "--set", "train.minutes=3"))
        self.assertIn("--tokens: expected a number such as 1500000, 20k or 1.5M, got '1.5 lots'",
                      self.fails("compare", "ecp.toml", "--output", "out", "--tokens", "1.5 lots"))
        self.assertIn("--seeds: expected a whole number from 0", self.fails("compare", "ecp.toml", "--output", "out", "--seeds", "1,x", code=2))
        self.assertIn("compare.seeds: 1 stands there twice", self.fails("compare", "ecp.toml", "--output", "out", "--seeds", "1,1"))
        self.assertFalse((self.folder / "out").exists())

    def test_folders(self):
        os.mkdir(self.folder / "mine")
        self.write("mine/notes.txt", "mine")
        self.assertIn("--output: 'mine' has other things in it", self.fails("compare", "ecp.toml", "--output", "mine"))
        self.assertIn("--output: 'ecp.toml' is a file", self.fails("compare", "ecp.toml", "--output", "ecp.toml"))
        self.assertIn("--report-only: 'out': no such folder", self.fails("compare", "ecp.toml", "--output", "out", "--report-only"))
        self.ecp("compare", "ecp.toml", "--output", "out")
        self.assertIn("'out/runs/ecp-seed1' was made with model.dim = 16, and 32 is asked for: choose another --output",
                      self.fails("compare", "ecp.toml", "--output", "out", "--set", "model.dim=32"))
        self.assertIn("was made with train.steps = 4, and 32 is asked for",
                      self.fails("compare", "ecp.toml", "--output", "out", "--tokens", "2k"))
        self.ecp("compare", "ecp.toml", "--output", "out", "--set", "train.keep=1")


class Help(CommandTest):
    def test_help(self):
        done = self.ecp("compare", "--help")
        self.assertIn("Examples:", done.stdout)
        self.assertIn("--report-only", done.stdout)


if __name__ == "__main__":
    unittest.main()
