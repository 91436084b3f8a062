"""ecp report from the command line: one run, several, TensorBoard's files, and what it says to mistakes."""

import json
import unittest

from support import CommandTest, Outline


def metrics(steps, loss=2.0):
    lines = []
    for step in steps:
        lines.append({"kind": "train", "step": step, "loss": loss + 1 / step, "lr": 0.1, "grad_norm": 1.0,
                      "tokens": step * 64, "tokens_per_second": 100.0, "seconds": step / 10, "peak_memory": 10**9})
    lines.append({"kind": "eval", "step": steps[-1], "seconds": 1, "loss": loss, "bits_per_byte": 1.5,
                  "perplexity_token": 7.4, "perplexity_word": None})
    return "".join(json.dumps(line) + "\n" for line in lines)


class Report(CommandTest):
    def run_folder(self, name, content):
        (self.folder / name).mkdir(parents=True)
        self.write(f"{name}/metrics.jsonl", content)

    def setUp(self):
        super().setUp()
        self.run_folder("one", metrics([10, 20, 30]))
        self.run_folder("two", metrics([10, 20], loss=3.0))

    def page(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def test_one_run(self):
        done = self.ecp("report", "one")
        self.assertEqual(done.stdout, "wrote one/report.html\n")
        outline = Outline(self.page("one/report.html"))
        self.assertEqual(outline.open, [])
        self.assertEqual(outline.seen.count("svg"), 7)  # loss, perplexity, bits per byte, throughput, norm, memory, rate

    def test_several_runs(self):
        done = self.ecp("report", "one", "two", "--output", "pages/both.html")
        self.assertEqual(done.stdout, "wrote pages/both.html\n")
        page = self.page("pages/both.html")
        self.assertEqual(Outline(page).open, [])
        self.assertIn("<h1>2 runs</h1>", page)
        self.assertEqual(page.count('class="line s1"'), page.count('class="line s0"'))

    def test_damage_is_told(self):
        self.write("one/metrics.jsonl", "damaged\n" + metrics([10]) + '{"kind":"tr')
        done = self.ecp("report", "one")
        self.assertIn("ecp: warning: 1 line of metrics.jsonl left out, the first: one/metrics.jsonl:1: expected a "
                      "JSON object", done.stderr)

    def test_evaluations_are_printed(self):
        (self.folder / "one/evaluations").mkdir()
        self.write("one/evaluations/test.json", json.dumps({"loss": 2.0, "bits_per_byte": 1.25}))
        self.assertRegex(self.ecp("report", "one").stdout, r"test +1\.250 +- +- +2\.0000")
        self.assertIn("one: test", self.ecp("report", "one", "two", "--output", "x.html").stdout)

    def test_event_files(self):
        done = self.ecp("report", "one", "two", "--tensorboard", "boards")
        self.assertRegex(done.stdout, r"wrote boards/one/events\.out\.tfevents\.\d+\..*\n"
                                      r"wrote boards/two/events\.out\.tfevents\.\d+\..*\n")
        self.assertFalse((self.folder / "one/report.html").exists())
        self.ecp("report", "one", "--tensorboard", "boards", "--output", "page.html")
        self.assertTrue((self.folder / "page.html").exists())
        self.assertEqual(len(list((self.folder / "boards/one").iterdir())), 2)

    def test_mistakes(self):
        self.assertIn("RUN", self.fails("report", code=2))
        self.assertIn("--output FILE", self.fails("report", "one", "two", code=2))
        self.assertIn("cannot report on './one' twice", self.fails("report", "one", "./one", "--output", "x.html"))
        self.assertIn("expected a file name ending in .html", self.fails("report", "one", "--output", "x.pdf"))
        self.assertIn("cannot report on 'three': expected a run folder", self.fails("report", "three", "--output", "x.html"))
        self.assertIn("(did you mean '--output'?)", self.fails("report", "one", "--outptu", "x.html", code=2))
        self.write("one/metrics.jsonl", "")
        self.assertIn("expected at least one line of kind train or eval", self.fails("report", "one"))
        self.assertFalse((self.folder / "one/report.html").exists())


if __name__ == "__main__":
    unittest.main()
