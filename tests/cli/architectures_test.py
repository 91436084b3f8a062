"""Every architecture by one line of the configuration: trained, resumed, scored, generated from."""

import json
import unittest

from support import CONFIG, CommandTest, needs_training, text

LATENT = ("perceiver_ar", "double", "split", "compressed")
OTHERS = ("ecp", "full", "shifted", "sliding")


@needs_training
class Architectures(CommandTest):
    def setUp(self):
        super().setUp()
        self.tokenize("train", text(60))
        self.tokenize("validation", text(12, seed=2))
        self.write("config.toml", CONFIG)

    def train(self, architecture, preset="modern", *arguments):
        run = f"{architecture}-{preset}"
        self.ecp("train", "config.toml", "--output", run, "--set", f"model.architecture={architecture}", "--set",
                 f"model.preset={preset}", *arguments)
        return run

    def test_each_trains_is_scored_and_generates(self):
        for architecture in LATENT + OTHERS:
            for preset in ("paper", "modern"):
                with self.subTest(architecture=architecture, preset=preset):
                    run = self.train(architecture, preset)
                    facts = json.loads((self.folder / run / "run.json").read_text(encoding="utf-8"))
                    rows = 16 if architecture in LATENT else 32
                    self.assertEqual(facts["trained_per_step"], 2 * rows)
                    result = json.loads(self.ecp("eval", run, "--data", "validation.npy", "--json").stdout)
                    self.assertEqual(result["scored_rows"], rows)
                    self.assertEqual(result["tokens"], (self.folder / "validation.txt").stat().st_size)
                    done = self.ecp("generate", run, "--prompt", "one two", "--max-tokens", "40", "--seed", "3")
                    self.assertTrue(done.stdout.startswith("one two"), done.stdout)
                    self.assertEqual("has no cache: each token computes the last 32 anew" in done.stderr,
                                     architecture in LATENT)
                    self.assertEqual("s a token" in done.stderr, architecture in LATENT)
                    again = self.ecp("generate", run, "--prompt", "one two", "--max-tokens", "40", "--seed", "3", "--quiet")
                    self.assertEqual((again.stdout, again.stderr), (done.stdout, ""))

    def test_a_resumed_run_of_latents_ends_like_an_unbroken_one(self):
        whole = self.train("compressed", "paper", "--set", "train.schedule=constant")
        self.ecp("train", "config.toml", "--output", "run", "--set", "model.architecture=compressed", "--set",
                 "model.preset=paper", "--set", "train.schedule=constant", "--set", "train.steps=3")
        self.ecp("train", "--output", "run", "--resume", "--set", "train.steps=6")
        weights = [(self.folder / run / "checkpoints/last/model.safetensors").read_bytes() for run in (whole, "run")]
        self.assertEqual(weights[0], weights[1])

    def test_models_compared_are_scored_over_the_same_windows(self):
        run = self.train("ecp")
        result = json.loads(self.ecp("eval", run, "--data", "validation.npy", "--scored-rows", "16", "--json").stdout)
        self.assertEqual((result["scored_rows"], result["window"], result["context"]), (16, 32, 16))

    def test_what_does_not_go_together(self):
        def error(*fields):
            return self.fails("train", "config.toml", "--output", "new", *(x for f in fields for x in ("--set", f)))

        self.assertIn("model.latents: expected 1 to 31 (less than model.sequence), got 32",
                      error("model.architecture=double", "model.latents=32"))
        self.assertIn("model.history_segment: expected a divisor of the history of 16 rows",
                      error("model.architecture=split", "model.history_segment=5"))
        self.assertIn("model.compressed_history: expected less than the history of 16 rows",
                      error("model.architecture=compressed", "model.compressed_history=16"))
        self.assertIn("model.heads: expected an even number, since half of the heads are shifted, got 1",
                      error("model.architecture=shifted", "model.heads=1"))
        self.assertIn("data.cross_documents: expected true with model.architecture \"double\"",
                      error("model.architecture=double", "data.cross_documents=false"))
        self.assertIn("did you mean 'double'", error("model.architecture=duoble"))
        run = self.train("double")
        self.assertIn("window: architecture double takes at most 32 tokens (model.sequence), got 33",
                      self.fails("eval", run, "--data", "validation.npy", "--window", "33"))
        self.assertIn("scored rows: expected at most 16 (a window's rows with logits), got 17",
                      self.fails("eval", run, "--data", "validation.npy", "--scored-rows", "17"))


if __name__ == "__main__":
    unittest.main()
