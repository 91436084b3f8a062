"""A whole training run against plain PyTorch: the same weights and text, the authors' formulation of the model, torch's
AdamW, clipping and schedule. Losses, gradient norms and the final weights must agree step by step."""

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import torch
except Exception as error:  # the slim LibTorch has no Python part that works
    print(f"skipped: the whole PyTorch cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
SIZES = {"vocab": 256, "dim": 32, "layers": 2, "heads": 2, "sequence": 48, "block": 8}
LR, WARMUP, STEPS, CLIP, DECAY = 3e-3, 5, 30, 1.0, 0.1
CONFIG = f"""
[model]
preset = "paper"
architecture = "ecp"
dim = {SIZES["dim"]}
layers = {SIZES["layers"]}
heads = {SIZES["heads"]}
sequence = {SIZES["sequence"]}
block = {SIZES["block"]}
dropout = 0.0
[data]
train = ["text.npy"]
[train]
steps = {STEPS}
batch = 2
accumulation = 2
lr = {LR}
warmup = {WARMUP}
schedule = "cosine"
final_lr = 0.1
beta2 = 0.95
weight_decay = {DECAY}
clip = {CLIP}
log_every = 1
sample_tokens = 0
"""
TEXT = "A row sees the block before its own, and its own."  # n + 1 bytes: the only window there is


def authors():
    spec = importlib.util.spec_from_file_location("authors", SOURCE / "benchmarks" / "peers" / "authors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def authors_name(name):
    """The name that the authors' program gives a parameter of the benchmark's model."""
    for ours, theirs in {"embedding": "token_emb", "norm": "to_logits.0", "classifier": "to_logits.1"}.items():
        if name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    _, layer, part, rest = name.split(".", 3)
    return f"layers.{layer}." + {"0": "0.norm.", "1": "0.fn.", "2": "1.norm.", "3": "1.fn.net."}[part] + rest


def write_authors_file(path, model):
    header, data = {"__metadata__": {"architecture": "ecp", **{k: str(v) for k, v in SIZES.items()}}}, b""
    for name, tensor in model.state_dict().items():
        raw = bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())
        header["model." + authors_name(name)] = {"dtype": "F32", "shape": list(tensor.shape),
                                                 "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read_weights(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(bytearray(data[8 + size:][slice(*entry["data_offsets"])]), dtype=torch.float32)
            .view(entry["shape"]) for name, entry in header.items()}


def learning_rate(step):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    return LR * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))))


def train_with_torch(model):
    tokens = torch.tensor([list(TEXT.encode())])
    decay = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    others = [p for p in model.parameters() if all(p is not d for d in decay)]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
                                  lr=LR, betas=(0.9, 0.95), foreach=False, fused=False)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        yield {"loss": loss.item(), "grad_norm": norm.item(), "lr": learning_rate(step)}


class Training(unittest.TestCase):
    def run_ecp(self, *arguments):
        done = subprocess.run([BINARY / "ecp", *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_follows_plain_pytorch_step_by_step(self):
        self.assertEqual(len(TEXT), SIZES["sequence"] + 1)
        torch.manual_seed(3)
        model = authors().Model(**SIZES)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "text.txt").write_text(TEXT)
            (folder / "config.toml").write_text(CONFIG.replace("text.npy", str(folder / "text.npy")))
            write_authors_file(folder / "authors.safetensors", model)
            self.run_ecp("import", folder / "authors.safetensors", "--output", folder / "initial")
            self.run_ecp("tokenize", folder / "text.txt", "--tokenizer", "bytes", "--output", folder / "text.npy")
            self.run_ecp("train", folder / "config.toml", "--set", f"train.init={folder / 'initial'}",
                         "--output", folder / "run")
            lines = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
            ours = [line for line in lines if line["kind"] == "train"]
            trained = read_weights(folder / "run" / "checkpoints" / "last" / "model.safetensors")
            theirs = list(train_with_torch(model))
            # What torch trained, by our names.
            write_authors_file(folder / "trained.safetensors", model)
            self.run_ecp("import", folder / "trained.safetensors", "--output", folder / "trained")
            expected = read_weights(folder / "trained" / "model.safetensors")

        self.assertEqual(len(ours), STEPS)
        for step, (got, want) in enumerate(zip(ours, theirs)):
            for key, bound in {"loss": 2e-5, "grad_norm": 2e-4, "lr": 1e-9}.items():
                self.assertAlmostEqual(got[key] / want[key], 1, delta=bound, msg=f"step {step + 1}: {key}")
        self.assertLess(theirs[-1]["loss"], 0.5 * theirs[0]["loss"])
        self.assertGreater(max(line["grad_norm"] for line in theirs), CLIP)
        self.assertEqual(trained.keys(), expected.keys())
        for name, want in expected.items():
            torch.testing.assert_close(trained[name], want, atol=2e-4, rtol=1e-3, msg=lambda text: f"{name}: {text}")


if __name__ == "__main__":
    unittest.main()
