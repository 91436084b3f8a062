"""ecp complexity from the command line: the paper's figures, JSON, the page, and what it says to mistakes."""

import json
import re
import unittest

from support import CONFIG, CommandTest, Outline

ARCHITECTURES = {"ecp", "full", "perceiver_ar", "double", "split", "compressed", "shifted", "sliding"}


class Complexity(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("small.toml", CONFIG)

    def models(self, *arguments):
        report = json.loads(self.ecp("complexity", *arguments, "--json").stdout)
        self.assertEqual((report["format"], report["version"]), ("ecp-complexity", 1))
        return {model["architecture"]: model for model in report["models"]}

    def test_the_papers_figures(self):
        models = self.models("--paper")
        self.assertEqual(set(models), ARCHITECTURES)
        dense = {name: model["attention_entries"]["dense"] // 10**6 for name, model in models.items()}
        for name, printed in (("full", 19327), ("perceiver_ar", 4932), ("double", 14495)):
            self.assertEqual((dense[name], models[name]["paper"]["dense_millions"]), (printed, printed))
            self.assertTrue(models[name]["paper"]["derived"])
        for name, ours, printed in (("split", 10267, 14858), ("compressed", 5698, 9682), ("ecp", 2340, 2452)):
            self.assertEqual((dense[name], models[name]["paper"]["dense_millions"]), (ours, printed))
            self.assertFalse(models[name]["paper"]["derived"])
            self.assertIn("can't be derived", models[name]["paper"]["note"])
        self.assertNotIn("paper", models["sliding"])

    def test_the_papers_figures_as_text(self):
        text = self.ecp("complexity", "--paper").stdout
        self.assertRegex(text, r"(?m)^full +\d+ +19327 +19327 +100 +the same$")
        self.assertRegex(text, r"(?m)^perceiver_ar +\d+ +4932 +4932 +25 +the same$")
        self.assertRegex(text, r"(?m)^double +\d+ +14495 +14495 +75 +the same$")
        self.assertRegex(text, r"(?m)^ecp +\d+ +2340 +2452 +12 +can't be derived$")
        self.assertRegex(text, r"(?m)^split: the printed 14858 can't be derived")

    def test_one_configuration_in_every_architecture(self):
        models = self.models("small.toml", "--set", "model.vocab=50")
        self.assertEqual(set(models), ARCHITECTURES)
        self.assertEqual(next(iter(models)), "ecp")
        ecp = models["ecp"]  # n 32, b 8, 2 layers, 2 heads
        self.assertEqual(ecp["attention_entries"], {"visible": 4 * (4 * 36 + 3 * 64), "dense": 4 * (64 + 3 * 128)})
        self.assertEqual(ecp["tokens"], ecp["trained_tokens"])
        self.assertEqual(models["double"]["trained_tokens"], 16)
        self.assertEqual(ecp["cache"], {"kind": "bounded", "rows": 16, "bytes": 16 * 2 * 16 * 4 * 2})
        self.assertEqual(models["full"]["cache"]["kind"], "growing")
        self.assertEqual(models["split"]["cache"], {"kind": "recomputed", "rows": None, "bytes": None})
        for name, model in models.items():
            flops = model["flops"]
            parts = ("attention", "projections", "feed_forward", "compression", "classifier")
            self.assertAlmostEqual(flops["forward"], sum(flops[part] for part in parts))
            self.assertEqual(flops["backward"], 2.5 * flops["attention"] + 2 * (flops["forward"] - flops["attention"]))
            self.assertEqual(flops["attention"], 4 * 8 * model["attention_entries"]["visible"])
            self.assertEqual(model["multiply_adds"] * 2, flops["forward"])
            self.assertEqual(len(model["layers"]), 2)
            self.assertEqual(sum(layer["attention_entries"]["dense"] for layer in model["layers"]),
                             model["attention_entries"]["dense"])
            self.assertEqual(model["parameters"] - model["parameters_without_embeddings"], 50 * 16, name)
            self.assertGreater(model["activation_bytes"]["float32"], model["activation_bytes"]["bfloat16"])
            self.assertNotIn("paper", model)

    def test_text_of_a_configuration(self):
        text = self.ecp("complexity", "small.toml").stdout
        self.assertIn("small.toml: n 32, d 16, L 2, H 2, V not known, preset modern", text)
        self.assertRegex(text, r"(?m)^ecp +1,344 +1,792 ")
        self.assertRegex(text, r"(?m)^ *1-2 +32 +32 +32 +672 +896 ")
        self.assertIn("model.vocab is 0", text)

    def test_chosen_architectures_at_another_length(self):
        models = self.models("--architectures", "full,split", "small.toml", "--length", "64")
        self.assertEqual(list(models), ["full", "split"])
        self.assertEqual(models["full"]["attention_entries"]["dense"], 4 * 64 * 64)
        self.assertEqual(models["split"]["trained_tokens"], 32)
        self.assertEqual(self.models("--set", "model.block=4", "small.toml")["ecp"]["cache"]["rows"], 8)
        self.assertEqual(list(self.models("--set", "model.sequence=64", "--architectures", "sliding")), ["sliding"])

    def test_what_does_not_fit_is_left_out(self):
        done = self.ecp("complexity", "small.toml", "--set", "model.history_segment=5")
        self.assertIn("left out: split: model.history_segment: expected a divisor of the history", done.stdout)

    def test_the_page(self):
        done = self.ecp("complexity", "--paper", "--output", "pages/cost.html")
        self.assertTrue(done.stdout.endswith("wrote pages/cost.html\n"))
        page = (self.folder / "pages/cost.html").read_text(encoding="utf-8")
        outline = Outline(page)
        self.assertEqual(outline.open, [])
        self.assertGreater(outline.seen.count("svg"), 20)
        self.assertEqual(outline.seen.count("svg"), page.count('role="img"'))
        self.assertIsNone(re.search(r"https?:", page))
        self.assertIn("<b>19,327</b>", page)
        json.loads(self.ecp("complexity", "--json", "--output", "again.html").stdout)

    def test_mistakes(self):
        self.assertIn("(did you mean 'sliding'?)", self.fails("complexity", "--architectures", "ecp,slidin"))
        self.assertIn("'ecp' is given twice", self.fails("complexity", "--architectures", "ecp,ecp"))
        self.assertIn("expected a whole number from 1", self.fails("complexity", "--length", "0", code=2))
        self.assertIn("expected a whole number from 1", self.fails("complexity", "--length", "1e9", code=2))
        self.assertIn("--length excludes --paper", self.fails("complexity", "--paper", "--length", "64", code=2))
        self.assertIn("excludes", self.fails("complexity", "--paper", "small.toml", code=2))
        self.assertIn("expected a file name ending in .html", self.fails("complexity", "--output", "x.pdf"))
        self.assertIn("(did you mean '--paper'?)", self.fails("complexity", "--papre", code=2))
        self.assertIn("nowhere.toml", self.fails("complexity", "nowhere.toml"))
        self.assertIn("unknown key", self.fails("complexity", "--set", "model.dmi=8"))
        self.write("wrong.toml", CONFIG.replace("heads = 2", "heads = 3"))
        self.assertIn("model.heads: expected a divisor", self.fails("complexity", "wrong.toml"))
        self.write("wide.toml", CONFIG.replace("[model]", '[model]\narchitecture = "double"\nlatents = 40'))
        self.assertIn("model.latents: expected 1 to 31", self.fails("complexity", "wide.toml"))
        big = ["--set", "model.layers=1024", "--set", "model.heads=1024", "--set", "model.dim=2048"]
        self.assertIn("too many to count", self.fails("complexity", "--set", "model.architecture=full", *big,
                                                      "--architectures", "full", "--length", 2**24))

    def test_help(self):
        text = self.ecp("complexity", "--help").stdout
        self.assertIn("Examples:", text)
        self.assertIn("--paper", text)


if __name__ == "__main__":
    unittest.main()
