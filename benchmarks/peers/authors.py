"""The ECP model as its paper formulates it, in plain PyTorch: the baseline that training speed is measured against.

Neighbouring segments are concatenated, scores come from einsum, the mask is applied before the softmax, one projection
serves as keys and values and is rotated in the first layer. peers/train_step.py trains it.
"""

import argparse
import json
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F


def rotary_table(rows, width, theta=10000.0):
    frequencies = theta ** (-torch.arange(0, width, 2).float() / width)
    angles = torch.arange(rows).float()[:, None] * frequencies
    angles = angles.repeat_interleave(2, dim=-1)
    return angles.cos(), angles.sin()


def rotate(x, table):
    cos, sin = table
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return x * cos + turned * sin


class Attention(nn.Module):
    def __init__(self, dim, heads, block, rotary, dropout):
        super().__init__()
        self.heads, self.block, self.rotary = heads, block, rotary
        self.scale = (dim // heads) ** -0.5
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Linear(dim, dim)
        self.to_out_0 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim // heads)  # the paper's model owns it and does not use it
        self.dropout = nn.Dropout(dropout)

    def attend(self, q, kv, mask):
        scores = torch.einsum("b h s i d, b h s j d -> b h s i j", q, kv)
        scores = scores.masked_fill(mask, -torch.finfo(scores.dtype).max)
        p = self.dropout(scores.softmax(dim=-1))
        return torch.einsum("b h s i j, b h s j d -> b h s i d", p, kv)

    def forward(self, x, table):
        batch, n, dim = x.shape
        b, segments = self.block, n // self.block
        q, kv = self.to_q(x) * self.scale, self.to_kv(x)
        q, kv = (t.view(batch, n, self.heads, -1).transpose(1, 2) for t in (q, kv))
        if self.rotary:
            q, kv = rotate(q, table), rotate(kv, table)
        q, kv = (t.reshape(batch, self.heads, segments, b, -1) for t in (q, kv))

        future = torch.ones(b, b, dtype=torch.bool).triu(1)
        first = self.attend(q[:, :, :1], kv[:, :, :1], future)
        both = torch.cat((kv[:, :, :-1], kv[:, :, 1:]), dim=3)
        seen = torch.cat((torch.zeros_like(future), future), dim=1)
        rest = self.attend(q[:, :, 1:], both, seen)
        first, rest = (t.reshape(batch, self.heads, -1, dim // self.heads).transpose(1, 2).reshape(batch, -1, dim)
                       for t in (first, rest))
        return torch.cat((self.to_out_0(first), self.to_out(rest)), dim=1)


class Model(nn.Module):
    attention = Attention

    def __init__(self, vocab, dim, layers, heads, sequence, block, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList()
        for i in range(layers):
            self.layers.append(nn.ModuleList([
                nn.LayerNorm(dim),
                self.attention(dim, heads, block, i == 0, dropout),
                nn.LayerNorm(dim),
                nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)),
            ]))
        self.norm = nn.LayerNorm(dim)
        self.classifier = nn.Linear(dim, vocab)
        self.table = rotary_table(sequence, dim // heads)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for attention_norm, attention, ffn_norm, ffn in self.layers:
            x = x + attention(attention_norm(x), self.table)
            x = x + ffn(ffn_norm(x))
        return self.classifier(self.norm(x))


def load_golden(path):
    """A model and its tokens, logits and loss from a golden file (names of the authors' program)."""
    import numpy as np
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    config = header.pop("__metadata__")
    types = {"F32": np.float32, "I64": np.int64}
    tensors = {
        name: torch.from_numpy(np.frombuffer(data[slice(*entry["data_offsets"])], types[entry["dtype"]])
                               .reshape(entry["shape"]).copy())
        for name, entry in header.items()
    }
    sizes = {key: int(config[key]) for key in ("vocab", "dim", "layers", "heads", "sequence", "block")}
    model = Model(**sizes)
    names = {"0.norm": "0", "0.fn": "1", "1.norm": "2", "1.fn.net": "3"}
    state = {}
    for name, tensor in tensors.items():
        if not name.startswith("model.") or name.endswith("freqs"):
            continue
        name = name.removeprefix("model.").replace("token_emb", "embedding")
        name = name.replace("to_logits.0", "norm").replace("to_logits.1", "classifier")
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            old = max((key for key in names if rest.startswith(key + ".")), key=len)
            name = f"layers.{layer}.{names[old]}{rest.removeprefix(old)}"
        state[name] = tensor
    model.load_state_dict(state)
    return model, tensors["input_ids"], tensors["logits"], float(tensors["loss"][0])


def check_golden(path):
    model, ids, logits, loss = load_golden(path)
    with torch.no_grad():
        ours = model(ids[:, :-1])
    difference = float((ours - logits).abs().max())
    ours_loss = float(F.cross_entropy(ours.flatten(0, 1), ids[:, 1:].flatten()))
    print(f"largest difference of logits {difference:.2e}, loss {ours_loss:.6f} against {loss:.6f}")
    return difference <= 2e-5 and math.isclose(ours_loss, loss, rel_tol=5e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="GOLDEN", required=True, help="compare with a golden file and end")
    sys.exit(0 if check_golden(parser.parse_args().check) else 1)


if __name__ == "__main__":
    main()
