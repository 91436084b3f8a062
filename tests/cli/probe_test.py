"""Generated tasks from the command line: training, accuracy by distance, the page, and what is said to mistakes."""

import json
import unittest

from support import CommandTest, Outline, needs_training

CONFIG = """
[model]
dim = 16
heads = 2
layers = 2
sequence = 40
block = 8

[data]
probe = "passkey"
probe_items = 2

[train]
steps = 4
batch = 4
warmup = 1
threads = 2
eval_every = 2
log_every = 2
"""


@needs_training
class Probes(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("config.toml", CONFIG)

    def test_a_run_its_accuracy_and_its_page(self):
        done = self.ecp("train", "config.toml", "--output", "run")
        self.assertIn("step       160 tokens: 1 x 4 windows of 40", done.stderr)
        self.assertRegex(done.stderr, r"step  validation +accuracy")
        self.assertRegex(done.stdout, r"best accuracy over distances 2 to 37: \d+\.\d\d % at step \d")

        arguments = ["eval", "run", "--probe", "--examples", "10"]
        result = json.loads(self.ecp(*arguments, "--distances", "2:12:5,37", "--json", "--output", "run/passkey.json",
                                     "--page", "page.html").stdout)
        self.assertEqual(list(result), ["checkpoint", "architecture", "layers", "probe", "chance", "reach", "points"])
        self.assertEqual((result["architecture"], result["layers"], result["chance"]), ("ecp", 2, 0.1))
        self.assertEqual(result["reach"], 23)
        self.assertEqual(result["probe"], "passkey of 2 items at distances 2 to 37 in 40 tokens")
        self.assertEqual([point["distance"] for point in result["points"]], [2, 7, 12, 37])
        for point in result["points"]:
            self.assertEqual((point["answers"], point["examples"]), (20, 10))
            self.assertLessEqual(point["whole"], point["accuracy"])
        self.assertEqual(json.loads((self.folder / "run/passkey.json").read_text()), result)

        page = (self.folder / "page.html").read_text()
        self.assertIn("ecp of 2 layers: passkey of 2 items", page)
        self.assertIn("reach 23", page)
        self.assertIn("svg", Outline(page).seen)
        shown = self.ecp(*arguments).stdout
        self.assertIn("37 (beyond reach)", shown)
        self.assertIn("The last row sees 23 tokens back; guessing gets 10.0 % right.", shown)
        self.assertEqual(len([line for line in shown.splitlines() if " %" in line]), 33, "32 distances and the note")

        self.assertIn("passkey", self.ecp("report", "run", "--output", "report.html").stdout
                      + (self.folder / "report.html").read_text())

    def test_latent_models_are_asked_too(self):
        self.ecp("train", "config.toml", "--output", "run", "--set", "model.architecture=double")
        result = json.loads(self.ecp("eval", "run", "--probe", "--examples", "3", "--json").stdout)
        self.assertEqual(result["reach"], 39)

    def test_mistakes(self):
        self.assertIn("unknown probe 'passkeys' (did you mean 'passkey'?)",
                      self.fails("train", "config.toml", "--output", "run", "--set", "data.probe=passkeys"))
        self.ecp("train", "config.toml", "--output", "run")
        for arguments, message in (
                (["--distances", "1"], "--distances: expected 2 to 37 (passkey of 2 items at distances 2 to 37 in 40 "
                                       "tokens), got 1"),
                (["--distances", "a"], "--distances: expected D, FROM:TO or FROM:TO:STEP, got 'a'"),
                (["--distances", "2:3:4:5"], "--distances: expected D, FROM:TO or FROM:TO:STEP, got '2:3:4:5'"),
                (["--distances", "9:3"], "--distances: expected FROM:TO[:STEP] with FROM <= TO"),
                (["--context", "3"], "--context: expected none with --probe"),
                (["--data", "x.npy"], "--data: expected none with --probe"),
                (["--parts", "test"], "--parts: expected none with --probe")):
            with self.subTest(arguments):
                self.assertIn(message, self.fails("eval", "run", "--probe", *arguments))
        self.assertIn("--probe", self.fails("eval", "run", code=2))
        self.assertIn("requires --probe", self.fails("eval", "run", "--distances", "3", code=2))
        self.tokenize("train", "one two three " * 100)
        self.write("text.toml", CONFIG.replace('probe = "passkey"\nprobe_items = 2', 'train = ["train.npy"]'))
        self.ecp("train", "text.toml", "--output", "text")
        self.assertIn("its run trained on no probe (data.probe), so it knows no answers", self.fails("eval", "text", "--probe"))


if __name__ == "__main__":
    unittest.main()
