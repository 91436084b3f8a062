"""Classifying images from the command line: training, evaluation, report, and what is said to mistakes."""

import json
import os
import unittest

from support import CommandTest, needs_training

CONFIG = """
[model]
classes = 10
dim = 16
heads = 2
layers = 1
sequence = 1024

[data]
images = "images"
validation_images = 20

[train]
steps = 4
batch = 4
warmup = 1
threads = 2
eval_every = 2
log_every = 2
"""


def records(images):
    """Gray images, as bright as their labels say."""
    return b"".join(bytes([i % 10]) + bytes(i % 10 * 25 + (i * 7 + k) % 20 for k in range(1024)) for i in range(images))


@needs_training
class Images(CommandTest):
    def setUp(self):
        super().setUp()
        (self.folder / "images").mkdir()
        (self.folder / "images/train.bin").write_bytes(records(60))
        (self.folder / "images/test.bin").write_bytes(records(30))
        self.write("config.toml", CONFIG)

    def test_a_run_its_evaluation_and_its_report(self):
        done = self.ecp("train", "config.toml", "--output", "run")
        self.assertIn("step       4 images: 1 x 4 of 1024 tokens; an epoch has 40 images", done.stderr)
        self.assertRegex(done.stderr, r"images/s  .* left")
        self.assertRegex(done.stderr, r"step  validation   accuracy")
        self.assertRegex(done.stderr, r"       2      \d\.\d{4}  +\d+\.00 %")
        self.assertNotIn("ppl", done.stderr)
        self.assertRegex(done.stdout, r"trained 4 steps, .*; best validation accuracy \d+\.00 % at step \d")
        self.assertNotIn("tokenizer", os.listdir(self.folder / "run/checkpoints/last"))

        result = json.loads(self.ecp("eval", "run", "--json", "--output", "run/evaluations/images.json").stdout)
        self.assertEqual(list(result), ["checkpoint", "data", "validation", "test"])
        self.assertEqual(result["data"], "images")
        self.assertEqual((result["validation"]["images"], result["test"]["images"]), (20, 30))
        self.assertAlmostEqual(result["test"]["accuracy"], result["test"]["correct"] / 30)
        lines = [json.loads(line) for line in (self.folder / "run/metrics.jsonl").read_text().splitlines()]
        best = max(line["accuracy"] for line in lines if line["kind"] == "eval")
        self.assertEqual(result["validation"]["accuracy"], best)
        table = self.ecp("eval", "run", "--parts", "train,test", "--data", "images").stdout
        self.assertRegex(table, r"train .* 40\n")
        self.assertRegex(table, r"test .* 30\n")

        said = self.ecp("report", "run").stdout
        self.assertRegex(said, r"images, test +\d+\.\d\d %")
        page = (self.folder / "run/report.html").read_text(encoding="utf-8")
        self.assertIn("<b>Accuracy</b>", page)
        self.assertIn("nats per image", page)
        self.assertIn("best accuracy", page)
        self.assertNotIn("Perplexity</b>", page)
        self.assertNotIn("bits per byte", page)

    def test_resumed_ends_like_an_unbroken_one(self):
        self.ecp("train", "config.toml", "--output", "check", "--verify-resume", "2")

    def test_it_writes_no_text(self):
        self.ecp("train", "config.toml", "--output", "run", "--set", "train.steps=1")
        for command in (("generate", "run", "--tokens", "1,2"), ("generate", "run", "--prompt", "a")):
            self.assertRegex(self.fails(*command), "it classifies into 10 classes and writes no text")
        self.assertIn("--context: expected none with a classifier", self.fails("eval", "run", "--context", "5"))
        self.assertIn("nowhere': no such folder", self.fails("eval", "run", "--data", "nowhere"))
        self.assertIn("--parts", self.fails("eval", "run", "--parts", "tests", code=2))

    def test_mistakes_in_the_configuration(self):
        for change, message in [
            (("classes = 10\n", ""), "config.toml: model.classes: expected 10 with data.images, got 0"),
            (("classes = 10", "classes = 1"), "model.classes: expected 0 (a language model) or at least 2, got 1"),
            (("sequence = 1024", "sequence = 512"), "model.sequence: expected the 1024 pixels of data.images, got 512"),
            (("sequence = 1024", "sequence = 1024\nvocab = 300"), "model.vocab: expected the 256 values of a pixel"),
            (("sequence = 1024", "sequence = 1024\ntie_embeddings = true"), "model.tie_embeddings: expected false"),
            (('images = "images"', 'train = ["a.npy"]'), "model.classes: expected 0 with data.train"),
            (('images = "images"', 'images = "images"\ntrain = ["a.npy"]'), "data.images: expected no data.train beside it"),
            (('images = "images"', 'images = "images"\nvalidation = "a.npy"'), "data.validation: expected none with data.images"),
            (('images = "images"', 'images = "nowhere"'), "data.images 'nowhere': no such folder"),
            (("validation_images = 20", "validation_images = 60"), "data.validation_images: expected less than the 60"),
        ]:
            self.write("config.toml", CONFIG.replace(*change))
            self.assertIn(message, self.fails("train", "config.toml", "--output", "run"), change)
            self.assertFalse((self.folder / "run").exists(), change)

    def test_damaged_images(self):
        path = self.folder / "images/train.bin"
        path.write_bytes(records(60)[:-1])
        self.assertIn("'images/train.bin': expected images as records of 3073 bytes",
                      self.fails("train", "config.toml", "--output", "run"))
        path.write_bytes(records(60)[:-1025] + bytes([10]) + bytes(1024))
        self.assertIn("'images/train.bin': image 59: expected a label from 0 to 9, got 10",
                      self.fails("train", "config.toml", "--output", "run"))


if __name__ == "__main__":
    unittest.main()
