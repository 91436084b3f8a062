#!/usr/bin/env python3
"""A checkpoint of ecp in PyTorch: reads config.json and model.safetensors and computes logits.

    ecp_logits.py CHECKPOINT TOKENS.npy [LOGITS.safetensors]

TOKENS.npy is an array [batch, n+1], as for `ecp score`, whose loss and logits these are. Every architecture and every
choice that config.json can make is here, written to be read: masks are dense, so time and memory grow with n². Needs
torch, numpy and safetensors. B: batch, N: rows, D: width, H: heads, E: width of a head.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

LATENT = ("perceiver_ar", "double", "split", "compressed")


class Model:
    def __init__(self, folder):
        c = self.config = SimpleNamespace(**json.loads((Path(folder) / "config.json").read_text())["model"])
        self.weights = {}
        for file in sorted(Path(folder).glob("model*.safetensors")):  # one, or several of a large model
            self.weights |= {name: tensor.float() for name, tensor in load_file(file).items()}
        for name in [name for name in self.weights if name.endswith("_scale")]:  # of int8: one for each 64 in a row
            numbers = self.weights[name.removesuffix("_scale")]
            numbers *= self.weights.pop(name).repeat_interleave(64, 1)[:, :numbers.shape[1]]
        # 0 stands for a default.
        c.kv_heads = c.kv_heads or c.heads
        c.latents = (c.latents or c.sequence // 2) if c.architecture in LATENT else 0
        c.history_segment = c.history_segment or max(1, (c.sequence - c.latents) // 2)
        c.compressed_history = c.compressed_history or max(1, (c.sequence - c.latents) // 4)
        c.group = c.group or (c.sequence + 3) // 4
        c.window = c.window or (c.sequence + 3) // 4

    def logits(self, tokens_BN):
        """[B, rows, V]: all rows, or of the latent architectures the last ones."""
        c, n = self.config, tokens_BN.shape[1]
        if c.architecture in LATENT and n > c.sequence:
            raise ValueError(f"{c.architecture} takes at most {c.sequence} tokens, got {n}")
        trained = max(1, c.sequence // c.block) * c.block
        if c.architecture == "ecp" and c.rotate_values and c.rope != "none" and n > trained:
            raise ValueError(f"values that are rotated know positions up to {trained}, got {n} tokens")
        history = max(0, n - c.latents) if c.architecture in LATENT else 0
        x = self.weights["embedding.weight"][tokens_BN]
        positions = torch.arange(n, dtype=torch.float64)
        for layer in range(c.layers):
            at = f"layers.{layer}."
            heads = self.attention(self.norm(x, at + "attention.norm"), at + "attention.", layer, history, positions)
            if layer == 0 and c.architecture == "perceiver_ar":  # history rows are keys only
                x, heads, positions, history = x[:, history:], heads[:, history:], positions[history:], 0
            if layer == 0 and c.architecture == "compressed" and c.layers > 1:
                x, heads, positions, history = self.compress(x, heads, at + "attention.compress", history, positions)
            x = x + self.output(heads, at + "attention.")
            x = x + self.feed_forward(self.norm(x, at + "ffn.norm"), at + "ffn.")
        x = self.norm(x[:, history:], "norm")
        classifier = self.weights["embedding.weight" if c.tie_embeddings else "classifier.weight"]
        return F.linear(x, classifier, self.weights.get("classifier.bias"))

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"], self.weights.get(name + ".bias"))

    def norm(self, x, name, kind=None):
        weight, eps = self.weights[name + ".weight"], self.config.norm_eps
        if (kind or self.config.norm) == "rms":
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight
        return F.layer_norm(x, weight.shape, weight, self.weights[name + ".bias"], eps)

    def feed_forward(self, x, at):
        up = self.linear(x, at + "up")
        inner = F.gelu(up) if self.config.ffn == "gelu" else F.silu(self.linear(x, at + "gate")) * up
        return self.linear(inner, at + "down")

    def attention(self, x, at, layer, history, positions):
        """The heads' outputs beside each other, [B, N, D]."""
        c = self.config
        q, k = (self.linear(x, at + name).unflatten(-1, (heads, c.dim // c.heads))
                for name, heads in (("q", c.heads), ("kv" if c.shared_kv else "k", c.kv_heads)))
        v = None if c.shared_kv else self.linear(x, at + "v").unflatten(-1, (c.kv_heads, c.dim // c.heads))
        if c.qk_norm == "rms":
            q, k = self.norm(q, at + "q_norm", "rms"), self.norm(k, at + "k_norm", "rms")
        if c.rope == "all" or (c.rope == "first" and layer == 0):
            q, k = self.rotated(q, positions), self.rotated(k, positions)
        if c.qk_norm == "layer":
            k = self.norm(k, at + "kv_norm", "layer")
        q, k, v = (t.repeat_interleave(c.heads // t.shape[2], dim=2).transpose(1, 2)  # [B, H, N, E]
                   for t in (q, k, k if v is None else v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask(x.shape[1], history))
        return out.transpose(1, 2).flatten(2)

    def rotated(self, x_BNHE, positions):
        """Pairs (2i, 2i+1) turn by position · θ^(−2i / E)."""
        width = x_BNHE.shape[-1]
        angles = positions[:, None] * self.config.rope_theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        cos, sin = angles.cos().float()[:, None], angles.sin().float()[:, None]
        even, odd = x_BNHE[..., 0::2], x_BNHE[..., 1::2]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)

    def mask(self, n, history):
        """[H or 1, N, N]: whether query i sees key j."""
        c = self.config
        i, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
        before = (j <= i)[None]
        if c.architecture in LATENT:
            s = c.history_segment if c.architecture == "split" else n  # segments are counted from the history's end
            together = (history - 1 - i) // s == (history - 1 - j) // s
            return torch.where(i < history, (j < history) & together, before)
        if c.architecture == "sliding":
            return before & (i - j < c.window)
        if c.architecture in ("ecp", "shifted"):
            size, lookback = (c.block, c.lookback) if c.architecture == "ecp" else (c.group, 0)
            moved = torch.zeros(c.heads, 1, 1, dtype=torch.long)  # of half of the heads, blocks begin half a block earlier
            if c.architecture == "shifted" or c.shift_heads:
                moved[c.heads // 2:] = size // 2
            blocks = (i + moved) // size - (j + moved) // size
            return before & (blocks <= lookback) if c.causal else blocks.abs() <= lookback
        return before if c.causal else torch.ones_like(before)

    def compress(self, x, heads, name, history, positions):
        """The history's rows become p rows: of the stream and of what goes into the output projection."""
        c, weight = self.config, self.weights[name + ".weight"]  # [p, c]; of a short history the last columns
        p, full = weight.shape
        weight = weight[:, full - history:]
        bias = self.weights[name + ".bias"][:, None]
        if c.compressed_residual == "authors":  # the stream's first rows, whatever they become
            past = F.pad(x, (0, 0, full - history, 0))[:, :p + x.shape[1] - history]
        else:
            past = torch.cat((weight @ x[:, :history], x[:, history:]), 1)
        heads = torch.cat((weight @ heads[:, :history] + bias, heads[:, history:]), 1)
        middle = (torch.arange(p, dtype=torch.float64) - p + 0.5) * (full / p) + history - 0.5
        return past, heads, torch.cat((middle, positions[history:])), p

    def output(self, heads, at):
        """The output projection; where block 0 has one of its own, that for its rows."""
        if not self.config.first_block_output:
            return self.linear(heads, at + "out")
        block = self.config.block
        return torch.cat((self.linear(heads[:, :block], at + "out_0"), self.linear(heads[:, block:], at + "out")), 1)


def main(checkpoint, tokens, output=None):
    tokens = torch.from_numpy(numpy.load(tokens).astype(numpy.int64))
    with torch.no_grad():
        logits = Model(checkpoint).logits(tokens[:, :-1])
    targets = tokens[:, -logits.shape[1]:]
    print(f"loss {F.cross_entropy(logits.flatten(0, 1), targets.flatten()):.6f} nats per token over {targets.numel()} tokens")
    if output:
        save_file({"logits": logits}, output)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
