"""ecp checkpoint: verify, list, prune, convert; bad input is one clear line."""

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


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class Checkpoints(CommandTest):
    def setUp(self):
        super().setUp()
        run = self.folder / "run"
        for step in (100, 200, 300):
            shutil.copytree(originals / "words", run / f"checkpoints/step-{step:08}")
        (run / "checkpoints/best").symlink_to("step-00000100")
        (run / "checkpoints/last").symlink_to("step-00000300")
        self.write("run/metrics.jsonl", '{"kind": "eval", "step": 200, "loss": 2.5}\n')

    def test_verify_tells_of_every_file(self):
        done = self.ecp("checkpoint", "verify", "run")
        self.assertEqual(done.stdout.count(": intact"), 3 * (1 + 4))
        damage(self.folder / "run/checkpoints/step-00000200/model.safetensors")
        (self.folder / "run/checkpoints/step-00000300/tokenizer/tokenizer.model").unlink()
        done = self.ecp("checkpoint", "verify", "run", code=1)
        self.assertIn("step-00000100: intact\n", done.stdout)
        self.assertIn("  model.safetensors: is damaged", done.stdout)
        self.assertIn("  tokenizer/tokenizer.model: is missing\n", done.stdout)
        self.assertEqual(done.stderr, "ecp: error: 2 of 3 checkpoints are damaged\n")
        done = self.ecp("checkpoint", "verify", "run/checkpoints/step-00000100", "--json")
        result = json.loads(done.stdout)
        self.assertEqual((result["damaged"], result["checkpoints"][0]["intact"]), (0, True))
        result = json.loads(self.ecp("checkpoint", "verify", "run", "--json", code=1).stdout)
        faults = {file["name"]: file["fault"] for file in result["checkpoints"][1]["files"]}
        self.assertIsNone(faults["config.json"])
        self.assertIn("is damaged", faults["model.safetensors"])

    def test_list(self):
        done = self.ecp("checkpoint", "list", "run")
        self.assertEqual(len(done.stdout.splitlines()), 4 if "---" not in done.stdout else 5, done.stdout)
        self.assertRegex(done.stdout, r"100 .*best")
        self.assertRegex(done.stdout, r"200 .*2\.5000")
        damage(self.folder / "run/checkpoints/step-00000200/config.json")
        listed = json.loads(self.ecp("checkpoint", "list", "run", "--verify", "--json", code=1).stdout)["checkpoints"]
        self.assertEqual([c["step"] for c in listed], [100, 200, 300])
        self.assertEqual([c["intact"] for c in listed], [True, False, True])
        self.assertEqual([c["loss"] for c in listed], [None, 2.5, None])
        self.assertEqual([(c["best"], c["last"]) for c in listed], [(True, False), (False, False), (False, True)])
        self.assertRegex(listed[0]["written"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_prune(self):
        done = self.ecp("checkpoint", "prune", "run", "--keep", "1", "--dry-run")
        self.assertIn("would delete run/checkpoints/step-00000200", done.stdout)
        self.assertTrue((self.folder / "run/checkpoints/step-00000200").exists())
        result = json.loads(self.ecp("checkpoint", "prune", "run", "--keep", "1", "--json").stdout)
        self.assertEqual((result["removed"], result["kept"]), ([200], [100, 300]))
        self.assertGreater(result["bytes"], 0)
        self.assertEqual(sorted(p.name for p in (self.folder / "run/checkpoints").iterdir()),
                         ["best", "last", "step-00000100", "step-00000300"])
        self.assertIn("expected a whole number from 1", self.fails("checkpoint", "prune", "run", "--keep", "0", code=2))

    def test_convert(self):
        done = self.ecp("checkpoint", "convert", "run", "--output", "half", "--dtype", "bfloat16")
        self.assertIn("half: weights of", done.stdout)
        result = json.loads(self.ecp("checkpoint", "convert", "run", "--output", "shards", "--max-shard-size", "4KB",
                                     "--json").stdout)
        self.assertGreater(len(result["weight_files"]), 1)
        self.assertEqual(result["bytes_before"], result["bytes_after"])
        self.ecp("checkpoint", "verify", "half", "shards")
        texts = [self.ecp("generate", name, "--prompt", "the cat", "--max-tokens", "8", "--temperature", "0").stdout
                 for name in ("run", "shards")]
        self.assertEqual(texts[0], texts[1])
        self.assertIn("expected a new folder", self.fails("checkpoint", "convert", "run", "--output", "shards"))

    def test_bad_input_is_one_line(self):
        self.assertIn("nothing of that name", self.fails("checkpoint", "verify", "nowhere"))
        self.assertIn("no such folder", self.fails("checkpoint", "list", "nowhere"))
        self.assertIn("expected checkpoints/ in it", self.fails("checkpoint", "prune", ".", "--keep", "1"))
        self.assertIn("expected a size such as 500MB", self.fails("checkpoint", "convert", "run", "--output", "x",
                                                                  "--max-shard-size", "12 parsecs"))
        self.fails("checkpoint", "convert", "run", "--output", "x", "--dtype", "float8", code=2)
        self.fails("checkpoint", "prnue", "run", code=2)
        self.assertFalse((self.folder / "x").exists())


if __name__ == "__main__":
    unittest.main()
