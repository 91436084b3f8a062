"""ecp data: statistics, windows and verification of token files; what they say where a file was changed."""

import json
import unittest

from support import CommandTest, text


class DataTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("a.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in ("river sea", text(20), "\x1b[31mred\u202e", "sea")))
        self.ecp("tokenize", "a.jsonl", "--output", "a.npy", "--train-tokenizer", "bpe", "--vocab-size", "290")
        self.info = json.loads((self.folder / "a.json").read_text())

    def change(self, name, at, mask=1):
        content = bytearray((self.folder / name).read_bytes())
        content[at] ^= mask
        (self.folder / name).write_bytes(content)

    def change_sidecar(self, **changes):
        """As a sidecar of version 1, which has no hash of itself."""
        info = {**self.info, "version": 1, **changes}
        del info["xxh3"]
        (self.folder / "a.json").write_text(json.dumps(info))


class Stats(DataTest):
    def test_token_file(self):
        stats, = json.loads(self.ecp("data", "stats", "a.npy", "--json", "--top", "5").stdout)
        self.assertEqual((stats["documents"], stats["tokens"], stats["words"], stats["bytes"]),
                         (4, self.info["tokens"], self.info["words"], self.info["bytes"]))
        self.assertEqual(stats["bytes_per_token"], stats["bytes"] / stats["tokens"])
        self.assertEqual(sum(b["count"] for b in stats["lengths"]), 4)
        self.assertEqual(sum(b["count"] for b in stats["frequencies"]), stats["vocab_size"])
        never = next(b["count"] for b in stats["frequencies"] if b["from"] == 0)
        self.assertEqual(stats["distinct_tokens"], stats["vocab_size"] - never)
        counts = [t["count"] for t in stats["most_frequent"]]
        self.assertEqual((len(counts), counts), (5, sorted(counts, reverse=True)))

    def test_text_with_the_same_tokenizer_has_the_same_figures(self):
        of_file, of_text = json.loads(
            self.ecp("data", "stats", "a.npy", "a.jsonl", "--tokenizer", "a.tokenizer", "--json").stdout)
        for key in ("documents", "words", "bytes", "vocab_size"):
            self.assertEqual(of_file[key], of_text[key])
        self.assertEqual(of_file["tokens"], of_text["tokens"] + 4)  # an end-of-text token for each document
        plain, = json.loads(self.ecp("data", "stats", "a.jsonl", "--json").stdout)
        self.assertEqual((plain["tokens"], plain["length_unit"], plain["shortest"]), (None, "bytes", 3))

    def test_prints_bars(self):
        out = self.ecp("data", "stats", "a.npy").stdout
        self.assertIn("4 documents", out)
        self.assertIn("####", out)
        self.assertIn("(end of text)", out)

    def test_bad_input(self):
        self.assertIn("no such file", self.fails("data", "stats", "none.npy"))
        self.assertIn("no such file or folder", self.fails("data", "stats", "none.txt"))
        self.assertIn("--tokenizer is for texts", self.fails("data", "stats", "a.npy", "--tokenizer", "bytes"))
        self.assertIn("did you mean 'stats'", self.fails("data", "stat", "a.npy", code=2))


class Show(DataTest):
    def test_windows_are_text_with_boundaries(self):
        windows = json.loads(self.ecp("data", "show", "a.npy", "--windows", "4", "--length", "30", "--json").stdout)
        self.assertEqual(len(windows), 4)
        for window in windows:
            self.assertEqual(window["end"] - window["begin"], 30)
            self.assertEqual(sum(len(part["tokens"]) for part in window["parts"]), 30)
        again = json.loads(self.ecp("data", "show", "a.npy", "--windows", "4", "--length", "30", "--json").stdout)
        other = json.loads(self.ecp("data", "show", "a.npy", "--windows", "4", "--length", "30", "--json", "--seed", "2").stdout)
        self.assertEqual(windows, again)
        self.assertNotEqual(windows, other)
        whole, = json.loads(self.ecp("data", "show", "a.npy", "--windows", "1", "--length", "1000000", "--json").stdout)
        self.assertEqual([part["begin"] for part in whole["parts"]], self.info["documents"])
        self.assertEqual([part["text"] for part in whole["parts"]], ["river sea", text(20), "\x1b[31mred\u202e", "sea"])

    def test_terminals_are_safe(self):
        out = self.ecp("data", "show", "a.npy", "--windows", "1", "--length", "1000000").stdout
        self.assertIn("-- document 3 of 4, from its beginning\n| \\x1b[31mred\\xe2\\x80\\xae\n", out)
        self.assertEqual([c for c in out if c < " " and c != "\n"], [])

    def test_bad_input(self):
        self.assertIn("--windows", self.fails("data", "show", "a.npy", "--windows", "0", code=2))
        self.assertIn("--length", self.fails("data", "show", "a.npy", "--length", "x", code=2))


class Trust(DataTest):
    def test_untouched_files_are_ok(self):
        self.assertIn("a.npy: ok", self.ecp("data", "verify", "a.npy").stdout)

    def test_changed_tokens_are_refused_everywhere(self):
        self.change("a.npy", 140)
        message = "token file 'a.npy': its tokens aren't those that it was written with: expected the hash"
        for command in (("data", "verify", "a.npy"), ("data", "stats", "a.npy"), ("data", "show", "a.npy"),
                        ("ngram", "--train", "a.npy", "--test", "a.npy")):
            self.assertIn(message, self.fails(*command))

    def test_changed_counts_are_found(self):
        for changes in ({"words": self.info["words"] + 1}, {"bytes": self.info["bytes"] - 1}):
            self.change_sidecar(**changes)
            self.assertIn("token file 'a.npy': its sidecar says", self.fails("data", "verify", "a.npy"))
        self.change_sidecar(documents=[0, 5, 5])
        self.assertIn("documents[2] is out of order", self.fails("data", "verify", "a.npy"))

    def test_a_changed_tokenizer_is_found(self):
        self.change("a.tokenizer/tokenizer.model", 2000)
        self.assertIn("damaged: expected the hash", self.fails("data", "verify", "a.npy"))

    def test_all_files_are_looked_at(self):
        self.tokenize("b", "some text")
        self.tokenize("c", "some text")
        self.change("a.npy", 150)
        self.change("c.npy", 130)
        done = self.ecp("data", "verify", "a.npy", "b.npy", "c.npy", code=1)
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines()], ["b.npy"])
        self.assertEqual(len(done.stderr.splitlines()), 2)
        results = json.loads(self.ecp("data", "verify", "a.npy", "b.npy", "c.npy", "--json", code=1).stdout)
        self.assertEqual([r["ok"] for r in results], [False, True, False])


if __name__ == "__main__":
    unittest.main()
