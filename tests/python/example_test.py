"""examples/python/ecp_logits.py against `ecp score`: the same logits for every architecture and preset."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy
    import torch
    from safetensors.torch import load_file
except Exception as error:  # the slim LibTorch has no Python part that works
    print(f"skipped: the whole PyTorch cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
EXAMPLE = SOURCE / "examples" / "python" / "ecp_logits.py"
sys.path.insert(0, str(EXAMPLE.parent))
from ecp_logits import Model  # noqa: E402

CONFIG = """
[model]
dim = 16
heads = 4
layers = 3
sequence = 48
block = 8
init = "uniform"

[data]
train = ["text.npy"]

[train]
steps = 2
batch = 2
lr = 3e-3
warmup = 1
threads = 2
sample_tokens = 0
tensorboard = false
"""
# What is set, for one model each.
PAPER = ["ecp", "full", "shifted group=12", "sliding window=7", "perceiver_ar latents=16", "double latents=16",
         "split latents=16 history_segment=8", "compressed latents=16 compressed_history=6 compressed_residual=authors"]
MODERN = ["ecp lookback=2", "ecp shift_heads=true kv_heads=2", "full kv_heads=2 rope=first norm=layer ffn=gelu ffn_bias=true",
          "shifted group=12", "sliding", "perceiver_ar", "double latents=16", "split latents=16", "compressed latents=16 compressed_history=6",
          "compressed layers=1"]


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-example-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        (cls.folder / "config.toml").write_text(CONFIG)
        (cls.folder / "text.txt").write_text("A row sees the block before its own, and its own. " * 20)
        cls.ecp("tokenize", "text.txt", "--output", "text.npy", "--tokenizer", "bytes")

    @classmethod
    def ecp(cls, *arguments):
        done = subprocess.run([BINARY / "ecp", *arguments], cwd=cls.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done.stdout

    def trained(self, settings):
        """A checkpoint after two steps."""
        name = "run-" + "".join(c if c.isalnum() else "-" for c in settings)
        options = [word for setting in settings.split() for word in ("--set", "model." + setting)]
        self.ecp("train", "config.toml", "--output", name, *options)
        return (self.folder / name / "checkpoints" / "last").resolve()

    def check(self, checkpoint, lengths):
        model = Model(checkpoint)
        for n in lengths:
            tokens = numpy.random.default_rng(n).integers(0, model.config.vocab, (2, n + 1))
            numpy.save(self.folder / "tokens.npy", tokens)
            self.ecp("score", checkpoint, "--tokens", "tokens.npy", "--logits", "logits.safetensors")
            expected = load_file(self.folder / "logits.safetensors")["logits"]
            with torch.no_grad():
                ours = model.logits(torch.from_numpy(tokens[:, :-1]))
            self.assertEqual(ours.shape, expected.shape)
            self.assertGreater(expected.std().item(), 0.1, "logits that could tell a difference")
            self.assertLessEqual((ours - expected).abs().max().item(), 2e-5, n)

    def test_every_architecture_in_both_presets(self):
        for preset, models in (("paper", PAPER), ("modern", MODERN)):
            for settings in models:
                with self.subTest(preset=preset, settings=settings):
                    self.check(self.trained(f"preset={preset} architecture={settings}"), (48, 29))

    def test_few_tokens(self):
        for architecture in ("split", "compressed"):  # fewer than there are latent rows: no history
            self.check(self.trained(f"preset=paper architecture={architecture} latents=16"), (5,))

    def test_int8_weights(self):
        for settings in ("preset=modern architecture=ecp", "preset=paper architecture=compressed latents=16 ffn_dim=100"):
            whole = self.trained(settings)
            small = self.folder / (whole.parent.parent.name + "-int8")
            self.ecp("quantize", whole, "--output", small)
            self.assertEqual(load_file(small / "model.safetensors")["embedding.weight"].dtype, torch.int8)
            self.check(small, (48,))

    def test_the_authors_models(self):
        golden = Path(os.environ.get("ECP_SHARED", SOURCE / ".." / "shared")) / "golden"
        for architecture in ("ecp", "perceiver_ar", "double", "split", "compressed"):
            path = golden / f"{architecture}.safetensors"
            if not path.exists():
                self.skipTest(f"{path} is not there")
            self.ecp("import", path, "--output", architecture)
            tensors = load_file(path)
            with torch.no_grad():
                logits = Model(self.folder / architecture).logits(tensors["input_ids"][:, :-1])
            self.assertLessEqual((logits - tensors["logits"]).abs().max().item(), 2e-5, architecture)

    def test_weights_in_bfloat16_and_in_several_files(self):
        checkpoint = self.trained("architecture=ecp")
        self.ecp("checkpoint", "convert", checkpoint, "--output", "converted", "--dtype", "bfloat16", "--max-shard-size", "4KB")
        self.check(self.folder / "converted", (48,))

    def test_as_a_program(self):
        checkpoint = self.trained("architecture=ecp layers=1")
        numpy.save(self.folder / "tokens.npy", numpy.arange(60).reshape(2, 30))
        done = subprocess.run([sys.executable, EXAMPLE, checkpoint, "tokens.npy", "ours.safetensors"], cwd=self.folder,
                              capture_output=True, text=True, check=True)
        theirs = self.ecp("score", checkpoint, "--tokens", "tokens.npy", "--logits", "theirs.safetensors")
        self.assertAlmostEqual(float(done.stdout.split()[1]), float(theirs.split()[1]), delta=1e-4)
        ours, theirs = (load_file(self.folder / f"{name}.safetensors")["logits"] for name in ("ours", "theirs"))
        self.assertLessEqual((ours - theirs).abs().max().item(), 2e-5)
        usage = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
        self.assertIn("CHECKPOINT TOKENS.npy", usage.stderr)


if __name__ == "__main__":
    unittest.main()
