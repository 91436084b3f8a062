"""ecp eval from the command line."""

import json
import math
import unittest

from support import CONFIG, CommandTest, needs_training, text


@needs_training
class Eval(CommandTest):
    def setUp(self):
        super().setUp()
        self.tokenize("train", text(60))
        self.tokenize("validation", text(12, seed=2))
        self.write("config.toml", CONFIG)
        self.ecp("train", "config.toml", "--output", "run")

    def figures(self, *arguments):
        return json.loads(self.ecp("eval", "run", "--data", "validation.npy", "--json", *arguments).stdout)

    def test_json_and_table(self):
        result = self.figures("--output", "run/evaluations/validation.json")
        self.assertEqual(self.figures("--output", "new/deep/result.json"), result)
        self.assertEqual(list(result), ["checkpoint", "data", "loss", "perplexity_token", "perplexity_word",
                                        "bits_per_byte", "tokens", "words", "bytes", "window", "context", "scored_rows",
                                        "lossless", "cross_documents", "protocol"])
        content = (self.folder / "validation.txt").read_bytes()
        self.assertEqual(result["bytes"], len(content))
        self.assertEqual(result["tokens"], len(content))
        self.assertEqual(result["words"], len(content.split()))
        self.assertEqual(result["window"], 32)
        self.assertEqual(result["context"], 16)
        self.assertEqual(result["protocol"], "standard")
        total = result["loss"] * result["tokens"]
        self.assertAlmostEqual(result["perplexity_token"], math.exp(result["loss"]))
        self.assertAlmostEqual(math.log(result["perplexity_word"]), total / result["words"])
        self.assertAlmostEqual(result["bits_per_byte"], total / math.log(2) / result["bytes"])
        written = json.loads((self.folder / "run/evaluations/validation.json").read_text(encoding="utf-8"))
        self.assertEqual(written, result)

        table = self.ecp("eval", "run", "--data", "validation.npy").stdout
        self.assertIn("bits/byte", table)
        self.assertIn(f"{result['loss']:.4f}", table)
        in_training = [json.loads(line) for line in (self.folder / "run/metrics.jsonl").read_text().splitlines()]
        best = min(line["loss"] for line in in_training if line["kind"] == "eval")
        self.assertAlmostEqual(result["loss"], best, places=6, msg="the run folder stands for its best checkpoint")

    def test_options(self):
        whole = self.figures()
        self.assertAlmostEqual(whole["loss"], self.figures("--batch", "1")["loss"], places=5)
        self.assertEqual(self.figures("--context", "31")["context"], 31)
        self.assertEqual(self.figures("--window", "64")["window"], 64)
        self.assertNotEqual(self.figures("--context", "0")["loss"], whole["loss"])
        prefix = self.figures("--tokens", "101")
        self.assertEqual((prefix["tokens"], prefix["bytes"]), (101, 101))
        self.assertEqual(prefix["words"], len((self.folder / "validation.txt").read_bytes()[:101].split()))
        authors = self.figures("--protocol", "authors")
        count = (whole["tokens"] - 1 - 32) // 16 + 1
        self.assertEqual(authors["tokens"], 32 * count)
        self.assertAlmostEqual(self.figures("--dtype", "bfloat16")["loss"], whole["loss"], places=1)

    def test_documents_apart(self):
        self.write("one.txt", text(3, seed=4))
        self.write("two.txt", text(4, seed=5))
        self.ecp("tokenize", "one.txt", "two.txt", "--output", "validation.npy", "--tokenizer", "bytes", "--force")
        together, apart = self.figures(), self.figures("--documents-apart")
        self.assertEqual((together["cross_documents"], apart["cross_documents"]), (True, False))
        self.assertEqual((together["tokens"], together["bytes"]), (apart["tokens"], apart["bytes"]))
        self.assertNotEqual(together["loss"], apart["loss"])
        # Trained so, a run evaluates so.
        self.ecp("train", "config.toml", "--output", "apart", "--set", "data.cross_documents=false")
        lines = [json.loads(line) for line in (self.folder / "apart/metrics.jsonl").read_text().splitlines()]
        best = min((line for line in lines if line["kind"] == "eval"), key=lambda line: line["loss"])
        self.assertFalse(best["cross_documents"])
        result = json.loads(self.ecp("eval", "apart", "--data", "validation.npy", "--documents-apart", "--json").stdout)
        self.assertAlmostEqual(result["loss"], best["loss"], places=6)

    def test_a_tokenizer_that_loses_text_is_named(self):
        self.assertTrue(self.figures()["lossless"])
        self.write("vocab.txt", "[UNK]\n[SEP]\none\ntwo\nthree\nriver\n")
        for name, seed in (("train", 1), ("validation", 2)):
            self.write(f"{name}.txt", text(40, seed=seed))
            self.ecp("tokenize", f"{name}.txt", "--output", f"{name}.npy", "--tokenizer", "vocab.txt", "--force")
        self.ecp("train", "config.toml", "--output", "words")
        evaluate = ["eval", "words", "--data", "validation.npy"]
        self.assertFalse(json.loads(self.ecp(*evaluate, "--json").stdout)["lossless"])
        self.assertIn("tokenizer loses text", self.ecp(*evaluate).stdout)

    def test_mistakes(self):
        evaluate = ["eval", "run", "--data", "validation.npy"]
        self.assertIn("no such folder", self.fails("eval", "nowhere", "--data", "validation.npy"))
        self.assertIn("missing.npy", self.fails("eval", "run", "--data", "missing.npy"))
        self.assertIn("context: expected 0 to 31", self.fails(*evaluate, "--context", "32"))
        self.assertIn("--protocol", self.fails(*evaluate, "--protocol", "theirs", code=2))
        self.assertIn("--data", self.fails("eval", "run", code=2))
        self.assertIn("did you mean '--context'", self.fails(*evaluate, "--contex", "3", code=2))
        self.write("novel.txt", text(400, seed=3))
        self.ecp("tokenize", "novel.txt", "--output", "pieces.npy", "--train-tokenizer", "bpe", "--vocab-size", "285")
        self.assertIn("aren't those of the checkpoint's tokenizer", self.fails("eval", "run", "--data", "pieces.npy"))

    def test_numbers_out_of_range(self):
        evaluate = ["eval", "run", "--data", "validation.npy"]
        for option, value, expected in [("--context", "-1", "from 0"), ("--tokens", "0", "from 1"), ("--tokens", "-5", "from 1"),
                                        ("--threads", "100000", "from 1 to 1024"), ("--batch", "1.5", "from 1")]:
            self.assertIn(f"{option}: expected a whole number {expected}, got '{value}'",
                          self.fails(*evaluate, option, value, code=2))
        self.assertIn("--context: expected none", self.fails(*evaluate, "--protocol", "authors", "--context", "3"))

    def test_an_output_never_overwrites_an_input(self):
        evaluate = ["eval", "run", "--data", "validation.npy"]
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        (self.folder / "closed.json").mkdir()
        for output, message in [("validation.npy", "ending in .json"), ("validation.json", "would be overwritten"),
                                ("./run/../validation.json", "would be overwritten"), ("closed.json", "got the folder"),
                                ("run/run.json", "would be overwritten"),
                                ("run/checkpoints/best/config.json", "would be overwritten"),
                                ("validation.npy/result.json", "is no folder")]:
            self.assertIn(message, self.fails(*evaluate, "--output", output), output)
        self.fails("eval", "nowhere", "--data", "validation.npy", "--output", "new/result.json")
        self.fails("report", "nowhere")
        self.assertIn("ending in .html", self.fails("report", "run", "--output", "run/metrics.jsonl"))
        self.assertEqual({path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}, before)

    def test_damage(self):
        weights = (self.folder / "run/checkpoints/best/model.safetensors").resolve()
        content = weights.read_bytes()
        weights.write_bytes(content[:-4])
        self.assertIn(f"model.safetensors has another size: expected {len(content)} bytes, got {len(content) - 4}",
                      self.fails("eval", "run", "--data", "validation.npy"))
        weights.unlink()
        self.assertIn("model.safetensors is missing", self.fails("eval", "run", "--data", "validation.npy"))

    def test_help(self):
        done = self.ecp("eval", "--help")
        self.assertIn("--protocol", done.stdout)
        self.assertIn("Examples:", done.stdout)


if __name__ == "__main__":
    unittest.main()
