"""ecp train from the command line: a run, a resumed run, and what it says to mistakes."""

import json
import os
import shutil
import unittest

from support import CONFIG, CommandTest, needs_training, text


@needs_training
class Train(CommandTest):
    def setUp(self):
        super().setUp()
        self.tokenize("train", text(60))
        self.tokenize("validation", text(12, seed=2))
        self.write("config.toml", CONFIG)

    def metrics(self, run="run"):
        lines = (self.folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def weights(self, run="run"):
        return (self.folder / run / "checkpoints/last/model.safetensors").read_bytes()

    def test_a_run(self):
        done = self.ecp("train", "config.toml", "--output", "run")
        self.assertIn("trained 6 steps", done.stdout)
        self.assertRegex(done.stderr, r"parameters, .* without embeddings")
        self.assertRegex(done.stderr, r"attention +\d+ of 528 entries per layer and head at n = 32")
        self.assertRegex(done.stderr, r"step 6/6  loss \d")
        self.assertRegex(done.stderr, r"tokens/s  .* left  .* peak")
        self.assertIn("ppl/word", done.stderr)
        self.assertIn("sample at step 6:", done.stderr)
        self.assertEqual([line["step"] for line in self.metrics() if line["kind"] == "train"], [2, 4, 6])
        self.assertEqual([line["step"] for line in self.metrics() if line["kind"] == "eval"], [3, 6])
        run = self.folder / "run"
        self.assertEqual(sorted(n for n in os.listdir(run) if "tfevents" not in n), [".lock", "checkpoints", "config.toml", "metrics.jsonl", "run.json"])
        self.assertEqual(os.readlink(run / "checkpoints/last"), "step-00000006")
        self.assertEqual(sorted(os.listdir(run / "checkpoints/last")),
                         ["config.json", "manifest.json", "model.safetensors", "optimizer.safetensors",
                          "state.json", "tokenizer"])

    def test_resumed_ends_like_an_unbroken_one(self):
        self.ecp("train", "config.toml", "--output", "whole", "--set", "train.schedule=constant")
        self.ecp("train", "config.toml", "--output", "run", "--set", "train.schedule=constant", "--set", "train.steps=3")
        done = self.ecp("train", "--output", "run", "--resume", "--set", "train.steps=6")
        self.assertIn("resumed    from step 3", done.stderr)
        self.assertEqual(self.weights("whole"), self.weights("run"))
        self.assertEqual([line["step"] for line in self.metrics() if line["kind"] == "eval"], [3, 6])
        again = self.ecp("train", "config.toml", "--output", "run", "--resume", "--set", "train.schedule=constant")
        self.assertIn("already at its end", again.stdout)

    def test_resume_rule(self):
        self.ecp("train", "config.toml", "--output", "run", "--set", "train.steps=1")
        self.assertIn("train.lr: expected 0.001 as in the run that is resumed, got 0.5",
                      self.fails("train", "--output", "run", "--resume", "--set", "train.lr=0.5"))
        self.write("config.toml", CONFIG.replace("dim = 16", "dim = 32"))
        self.assertIn("model.dim: expected 16 as in the run that is resumed, got 32",
                      self.fails("train", "config.toml", "--output", "run", "--resume"))
        self.assertIn("nothing to resume", self.fails("train", "--output", "elsewhere", "--resume"))

    def test_an_existing_run_is_not_touched(self):
        self.ecp("train", "config.toml", "--output", "run")
        before = self.weights()
        self.assertIn("run folder 'run' exists: continue it with --resume",
                      self.fails("train", "config.toml", "--output", "run"))
        self.assertEqual(self.weights(), before)

    def test_from_another_checkpoint_at_another_length(self):
        self.ecp("train", "config.toml", "--output", "run")
        self.ecp("train", "config.toml", "--output", "longer", "--set", "train.init=run", "--set", "model.sequence=64")
        self.assertIn("model.layers: expected 2 as in the checkpoint, got 3",
                      self.fails("train", "config.toml", "--output", "other", "--set", "train.init=run",
                                 "--set", "model.layers=3"))
        self.assertFalse((self.folder / "other").exists())

    def test_mistakes_in_the_configuration(self):
        for change, message in [
            (("steps = 6", "stepps = 6"), "config.toml:14: unknown key 'train.stepps' (did you mean 'steps'?)"),
            (("[train]", "[trian]"), "unknown section [trian] (did you mean 'train'?)"),
            (("heads = 2", "heads = 3"), "model.heads: expected a divisor of model.dim 16, got 3"),
            (("sequence = 32", "sequence = 5000"), "train.npy"),
            (("sequence = 32", "sequence = 32\nvocab = 300"), "model.vocab: expected the 256 tokens"),
            (('train = ["train.npy"]', 'train = ["missing.npy"]'), "missing.npy"),
            (("steps = 6", "steps = -1"), "train.steps"),
            (("steps = 6", "steps = "), "config.toml:"),
        ]:
            self.write("config.toml", CONFIG.replace(*change))
            self.assertIn(message, self.fails("train", "config.toml", "--output", "run"), change)
            self.assertFalse((self.folder / "run").exists(), change)

    def test_mistakes_on_the_command_line(self):
        self.assertIn("missing.toml", self.fails("train", "missing.toml", "--output", "run"))
        self.assertIn("expected a CONFIG", self.fails("train", "--output", "run"))
        self.assertIn("--output", self.fails("train", "config.toml", code=2))
        self.assertIn("--resume", self.fails("train", "config.toml", "--output", "run", "--resum", code=2))
        self.assertIn("expected a name, got an empty one", self.fails("train", "config.toml", "--output", ""))
        self.assertIn("unknown subcommand or option 'trian' (see ecp --help) (did you mean 'train'?)",
                      self.fails("trian", "config.toml", code=2))
        self.assertIn("unknown key 'train.ler' (did you mean 'lr'?)",
                      self.fails("train", "config.toml", "--output", "run", "--set", "train.ler=1"))

    def test_what_cannot_fit_into_memory_is_refused_at_once(self):
        for field in ("train.batch=1048576", "model.layers=1024"):
            said = self.fails("train", "config.toml", "--output", "run", "--set", field, "--set", "model.dim=16384",
                              "--set", "model.ffn_dim=65536")
            self.assertIn("of memory", said, field)
            self.assertNotIn("\n", said.strip())
            self.assertFalse((self.folder / "run").exists())

    def test_a_warmup_that_never_ends_is_told(self):
        done = self.ecp("train", "config.toml", "--output", "run", "--set", "train.warmup=6")
        self.assertIn("warning: train.warmup: 6 steps, the run has 6: the learning rate never gets to train.lr", done.stderr)
        done = self.ecp("train", "config.toml", "--output", "timed", "--set", "train.minutes=0.02", "--set", "train.warmup=100000")
        self.assertIn("warning: train.warmup: its 100000 steps will take 100 % of train.minutes", done.stderr)

    def test_plan_tells_what_fits_and_checkpointing_changes_nothing(self):
        plan = json.loads(self.ecp("train", "config.toml", "--plan", "--json").stdout)
        self.assertEqual([(row["batch"], row["activation_checkpointing"]) for row in plan["rows"][:2]],
                         [(plan["rows"][0]["batch"], False), (plan["rows"][0]["batch"], True)])
        self.assertEqual(plan["suggestion"], 0)
        self.assertGreater(plan["tried"]["tokens_per_second"], 0)
        self.assertFalse((self.folder / "run").exists())
        done = self.ecp("train", "config.toml", "--plan")
        self.assertIn("suggestion: train.batch = ", done.stdout)
        done = self.ecp("train", "config.toml", "--plan", "--set", "train.memory_limit=0.001", code=1)
        self.assertIn("nothing fits", done.stdout)
        self.assertIn("train.memory_limit is 0.0", self.fails("train", "config.toml", "--output", "run", "--set",
                                                              "train.memory_limit=0.001"))
        self.ecp("train", "config.toml", "--output", "run")
        done = self.ecp("train", "config.toml", "--output", "again", "--set", "train.activation_checkpointing=on")
        self.assertIn("activation checkpointing", done.stderr)
        self.assertEqual(self.weights("again"), self.weights())

    def test_vocabularies_that_do_not_match(self):
        self.write("novel.txt", text(400, seed=3))
        self.ecp("tokenize", "novel.txt", "--output", "pieces.npy", "--train-tokenizer", "bpe", "--vocab-size", "285")
        self.assertIn("'pieces.npy': expected the tokenizer of 'train.npy'",
                      self.fails("train", "config.toml", "--output", "run", "--set", "data.validation=pieces.npy"))
        self.assertIn("'pieces.npy': expected the tokenizer of 'train.npy'",
                      self.fails("train", "config.toml", "--output", "run", "--set", "data.train=train.npy,pieces.npy"))

    def test_damage(self):
        self.ecp("train", "config.toml", "--output", "run", "--set", "train.steps=3")
        weights = self.folder / "run/checkpoints/step-00000003/model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        self.assertIn("model.safetensors is damaged",
                      self.fails("train", "--output", "run", "--resume", "--set", "train.steps=6"))
        shutil.rmtree(weights.parent)
        self.ecp("train", "--output", "run", "--resume", "--set", "train.steps=6")

    def test_help(self):
        done = self.ecp("train", "--help")
        self.assertIn("Examples:", done.stdout)
        self.assertIn("--resume", done.stdout)


if __name__ == "__main__":
    unittest.main()
