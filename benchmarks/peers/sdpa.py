"""The same model with PyTorch's best attention on a CPU: scaled_dot_product_attention, each block's queries against the
block before and their own as one view of the keys, nothing copied where strides allow it.
"""

import torch
from torch.nn import functional as F

import authors


class Attention(authors.Attention):
    def attend_blocks(self, q, kv):
        """Rows from the second block on; q and kv [H, n, d] of one sample."""
        b, (heads, n, width) = self.block, kv.shape
        both = kv.unfold(1, 2 * b, b).transpose(-1, -2)  # [H, blocks - 1, 2 b, d]
        queries = q[:, b:].view(heads, n // b - 1, b, width)
        seen = torch.ones(b, 2 * b, dtype=torch.bool).tril(b)
        out = F.scaled_dot_product_attention(queries, both, both, attn_mask=seen)
        return out.reshape(heads, n - b, width)

    def forward(self, x, table):
        batch, n, dim = x.shape
        b = self.block
        q, kv = (t.view(batch, n, self.heads, -1).transpose(1, 2) for t in (self.to_q(x), self.to_kv(x)))
        if self.rotary:
            q, kv = rotate(q, table, x), rotate(kv, table, x)
        first = F.scaled_dot_product_attention(q[:, :, :b], kv[:, :, :b], kv[:, :, :b], is_causal=True)
        rest = torch.stack([self.attend_blocks(*sample) for sample in zip(q, kv)])
        first, rest = (t.transpose(1, 2).reshape(batch, -1, dim) for t in (first, rest))
        return torch.cat((self.to_out_0(first), self.to_out(rest)), dim=1)


def rotate(x, table, like):
    return authors.rotate(x, table).to(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else like.dtype)


class Model(authors.Model):
    attention = Attention
