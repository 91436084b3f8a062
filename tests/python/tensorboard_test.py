"""The event files as TensorBoard itself reads them."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

try:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
except ImportError as error:
    print(f"skipped: TensorBoard cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"])


def train(step, loss):
    return {"kind": "train", "step": step, "loss": loss, "lr": 0.5, "grad_norm": 1.5, "tokens": 64 * step,
            "tokens_per_second": 1000.0, "seconds": float(step), "peak_memory": 2**30}


class EventFiles(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        (self.folder / "run").mkdir()

    def export(self, *lines):
        """Writes the lines as metrics.jsonl, and these as event files."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / "run/metrics.jsonl").write_text(text, encoding="utf-8")
        subprocess.run([BINARY / "ecp", "report", "run", "--tensorboard", "boards"], cwd=self.folder, check=True,
                       capture_output=True)

    def read(self):
        accumulator = EventAccumulator(str(self.folder / "boards/run"), size_guidance={TENSORS: 0})
        accumulator.Reload()
        return accumulator

    def points(self, tag):
        return [(point.step, point.value) for point in self.read().Scalars(tag)]

    def test_scalars_have_the_tags_that_people_expect(self):
        (self.folder / "run/run.json").write_text(json.dumps(
            {"starts": [{"step": 0, "time": "2026-01-31T12:00:00Z"}]}), encoding="utf-8")
        self.export(train(10, 2.5), train(20, None),
                    {"kind": "eval", "step": 20, "loss": 2.25, "bits_per_byte": 1.5, "perplexity_token": 9.5,
                     "perplexity_word": None})
        accumulator = self.read()
        self.assertEqual(sorted(accumulator.Tags()["scalars"]),
                         ["eval/bits_per_byte", "eval/loss", "eval/perplexity_token", "train/grad_norm",
                          "train/learning_rate", "train/loss", "train/peak_memory", "train/tokens_per_second"])
        self.assertEqual(self.points("eval/loss"), [(20, 2.25)])
        self.assertEqual(self.points("train/peak_memory"), [(10, 2.0**30), (20, 2.0**30)])
        self.assertEqual(self.points("train/loss")[0], (10, 2.5))
        self.assertTrue(math.isnan(self.points("train/loss")[1][1]))
        self.assertEqual([point.wall_time for point in accumulator.Scalars("train/loss")], [1769860810, 1769860820])

    def test_samples_are_texts(self):
        self.export(train(10, 2.5), {"kind": "sample", "step": 10, "prompt": "Größe", "text": " is *so*\n# big"},
                    {"kind": "skip", "step": 11, "reason": "loss is nan"})
        accumulator = self.read()
        (sample,) = accumulator.Tensors("sample")
        self.assertEqual(sample.step, 10)
        self.assertEqual([text.decode() for text in sample.tensor_proto.string_val], ["Größe| is \\*so\\*  \n\\# big"])
        self.assertEqual(accumulator.SummaryMetadata("sample").plugin_data.plugin_name, "text")
        self.assertEqual(accumulator.Tensors("train/skipped")[0].tensor_proto.string_val[0], b"loss is nan")

    def test_a_later_file_takes_the_place_of_steps(self):
        self.export(*(train(step, 2.0) for step in (10, 20, 30, 40)))
        self.export(train(10, 2.0), train(20, 2.0), train(30, 1.0))
        self.assertEqual(self.points("train/loss"), [(10, 2.0), (20, 2.0), (30, 1.0)])

    def test_a_file_that_was_cut_off_gives_what_is_whole(self):
        self.export(train(10, 2.0), train(20, 1.5))
        (file,) = (self.folder / "boards/run").iterdir()
        content = file.read_bytes()
        file.write_bytes(content[:-3])
        accumulator = self.read()
        self.assertEqual(self.points("train/loss"), [(10, 2.0), (20, 1.5)])
        self.assertEqual([point.step for point in accumulator.Scalars("train/peak_memory")], [10])



@unittest.skipUnless((BINARY / "ecp-torch").exists(), "built without LibTorch: nothing to train with")
class Training(unittest.TestCase):
    def test_a_run_that_was_killed_and_resumed_has_each_step_once(self):
        with tempfile.TemporaryDirectory(prefix="ecp-test-") as name:
            folder = Path(name)
            (folder / "train.txt").write_text("one two three four five six\n" * 40, encoding="utf-8")
            (folder / "run.toml").write_text(
                "[model]\ndim = 16\nheads = 2\nlayers = 1\nsequence = 32\nblock = 8\n[data]\ntrain = \"train.npy\"\n"
                "validation = \"train.npy\"\n[train]\nsteps = 400\nlog_every = 1\ncheckpoint_every = 50\neval_every = 100\n"
                "batch = 1\nthreads = 1\nsample_tokens = 4\n", encoding="utf-8")

            def ecp(*arguments):
                return subprocess.Popen([BINARY / "ecp", *arguments], cwd=folder, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
            self.assertEqual(ecp("tokenize", "train.txt", "--output", "train.npy", "--tokenizer", "bytes").wait(), 0)
            process = ecp("train", "run.toml", "--output", "run")
            metrics = folder / "run/metrics.jsonl"
            while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < 60):
                time.sleep(0.001)
            process.kill()
            process.wait()
            self.assertEqual(ecp("train", "--output", "run", "--resume").wait(), 0)
            accumulator = EventAccumulator(str(folder / "run"), size_guidance={TENSORS: 0, SCALARS: 0})
            accumulator.Reload()
            lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
            for kind, tag in (("train", "train/loss"), ("eval", "eval/loss")):
                expected = [(line["step"], line["loss"]) for line in lines if line["kind"] == kind]
                points = [(point.step, point.value) for point in accumulator.Scalars(tag)]
                self.assertEqual([step for step, _ in points], [step for step, _ in expected])
                for (_, value), (_, loss) in zip(points, expected):
                    self.assertAlmostEqual(value, loss, places=5)
            self.assertEqual(len(expected), 4)

if __name__ == "__main__":
    unittest.main()
