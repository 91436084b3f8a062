"""Modules made of interval attention, to be put into a model of one's own or to be a small one.

They hold ordinary nn.Linear and nn.RMSNorm, so that state_dict, quantisation and optimisers know them.
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import interval_attention
from .patterns import PatternLike

__all__ = ["DecoderLayer", "IntervalAttention", "LanguageModel", "rotate"]


def rotate(x: Tensor, theta: float = 10000.0, offset: int = 0) -> Tensor:
    """Rotary position embedding of [B, n, H, d_h]: pairs (2i, 2i + 1) turn by (offset + row) · theta^(-2i / d_h)."""
    rows, width = x.shape[1], x.shape[3]
    positions = torch.arange(offset, offset + rows, dtype=torch.float64, device=x.device)
    frequencies = theta ** (-torch.arange(0, width, 2, dtype=torch.float64, device=x.device) / width)
    angles = positions[:, None, None] * frequencies  # [n, 1, d_h / 2]
    cos, sin = angles.cos().to(torch.float32), angles.sin().to(torch.float32)
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2).to(x.dtype)


class IntervalAttention(nn.Module):
    """Multi-head attention of x [B, n, dim], each row among the keys that `pattern` shows it.

    kv_heads: key and value heads, a divisor of heads (grouped-query attention); heads if it is not given.
    shared_kv: one projection serves as keys and values.
    bias: of all projections. rope: base of the rotary position embedding, None for none.
    qk_norm: RMSNorm on each head's queries and keys, before they are rotated.
    dropout: on attention probabilities, while training.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        pattern: PatternLike,
        kv_heads: Optional[int] = None,
        shared_kv: bool = False,
        bias: bool = False,
        rope: Optional[float] = 10000.0,
        qk_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or dim % heads != 0:
            raise ValueError(f"IntervalAttention: heads: expected a divisor of dim {dim}, got {heads}")
        if kv_heads < 1 or heads % kv_heads != 0:
            raise ValueError(f"IntervalAttention: kv_heads: expected a divisor of heads {heads}, got {kv_heads}")
        if rope is not None and dim // heads % 2 != 0:
            raise ValueError(f"IntervalAttention: rope: expected an even head width, got {dim // heads}")
        self.heads, self.kv_heads, self.width = heads, kv_heads, dim // heads
        self.pattern, self.rope, self.dropout = pattern, rope, dropout
        self.q = nn.Linear(dim, dim, bias=bias)
        self.k = nn.Linear(dim, kv_heads * self.width, bias=bias)
        self.v = None if shared_kv else nn.Linear(dim, kv_heads * self.width, bias=bias)
        self.out = nn.Linear(dim, dim, bias=bias)
        self.q_norm = nn.RMSNorm(self.width, eps=1e-5) if qk_norm else None
        self.k_norm = nn.RMSNorm(self.width, eps=1e-5) if qk_norm else None

    def forward(self, x: Tensor, document_start: Optional[Tensor] = None) -> Tensor:
        """[B, n, dim] of x [B, n, dim]; document_start as in interval_attention."""
        q = self.q(x).unflatten(-1, (self.heads, self.width))
        k = self.k(x).unflatten(-1, (self.kv_heads, self.width))
        v = None if self.v is None else self.v(x).unflatten(-1, (self.kv_heads, self.width))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rope is not None:
            q, k = rotate(q, self.rope), rotate(k, self.rope)
        heads = interval_attention(q, k, v, pattern=self.pattern, document_start=document_start,
                                   dropout=self.dropout if self.training else 0.0)
        out: Tensor = self.out(heads.flatten(2))
        return out

    def extra_repr(self) -> str:
        return f"heads={self.heads}, kv_heads={self.kv_heads}, pattern={self.pattern}, rope={self.rope}, dropout={self.dropout}"


class DecoderLayer(nn.Module):
    """A layer of a language model: x + attention(norm(x)), then x + feed-forward(norm(x)) (SwiGLU)."""

    def __init__(self, dim: int, heads: int, *, pattern: PatternLike, kv_heads: Optional[int] = None,
                 ffn_dim: Optional[int] = None, qk_norm: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        inner = (8 * dim // 3 + 63) // 64 * 64 if ffn_dim is None else ffn_dim
        self.attention_norm = nn.RMSNorm(dim, eps=1e-5)
        self.attention = IntervalAttention(dim, heads, pattern=pattern, kv_heads=kv_heads, qk_norm=qk_norm, dropout=dropout)
        self.ffn_norm = nn.RMSNorm(dim, eps=1e-5)
        self.gate = nn.Linear(dim, inner, bias=False)
        self.up = nn.Linear(dim, inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor, document_start: Optional[Tensor] = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), document_start)
        inner: Tensor = self.ffn_norm(x)
        out: Tensor = x + self.down(F.silu(self.gate(inner)) * self.up(inner))
        return out


class LanguageModel(nn.Module):
    """A causal language model: tokens [B, n] to logits [B, n, vocab]. The classifier uses the embedding's weights."""

    def __init__(self, vocab: int, dim: int, layers: int, heads: int, *, pattern: PatternLike, kv_heads: Optional[int] = None,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(
            DecoderLayer(dim, heads, pattern=pattern, kv_heads=kv_heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                residual = name.endswith(("attention.out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens: Tensor, document_start: Optional[Tensor] = None) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, document_start)
        return F.linear(self.norm(x), self.embedding.weight)
