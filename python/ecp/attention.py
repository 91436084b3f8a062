"""The operator `interval_attention` for PyTorch: softmax(scale · q kᵀ) v where each query row sees one interval of keys.

Forward and backward are the project's fused kernels, on PyTorch's threads; time and memory are linear in the length for
bounded patterns. The library below is built against PyTorch's stable ABI; what PyTorch must know of it besides (shapes,
derivatives) is registered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor

from .patterns import HeadPatterns, Pattern, PatternLike

__all__ = ["interval_attention"]

_LEAST = (2, 11)
if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _LEAST:
    raise ImportError(f"ecp.interval_attention: expected PyTorch 2.11 or newer, got {torch.__version__}")
_library = Path(__file__).with_name("_operator.so")
if not _library.exists():
    raise ImportError(f"ecp.interval_attention: expected '{_library}'; this package was built without LibTorch")
torch.ops.load_library(str(_library))  # type: ignore[no-untyped-call]
_forward = torch.ops.ecp_python.interval_attention.default
_backward = torch.ops.ecp_python.interval_attention_backward.default
_DTYPES = (torch.float32, torch.bfloat16, torch.float64)


@torch.library.register_fake("ecp_python::interval_attention")  # type: ignore[untyped-decorator]
def _forward_shapes(q: Tensor, k: Tensor, v: Optional[Tensor], *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    sums = torch.float64 if q.dtype == torch.float64 else torch.float32
    return q.new_empty(q.shape), q.new_empty((q.shape[0], q.shape[2], q.shape[1]), dtype=sums)


@torch.library.register_fake("ecp_python::interval_attention_backward")  # type: ignore[untyped-decorator]
def _backward_shapes(grad_out: Tensor, q: Tensor, k: Tensor, v: Optional[Tensor], *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), k.new_empty((0,)) if v is None else v.new_empty(v.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, pattern, parameters, query_offset, key_offset, document_start, scale, dropout, dropout_key = inputs
    out, log_sum_exp = output
    ctx.mark_non_differentiable(log_sum_exp)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(q, k, v, out, log_sum_exp, document_start, dropout_key)
    ctx.options = (pattern, parameters, query_offset, key_offset, scale, dropout)


def _gradients(ctx: Any, grad_out: Optional[Tensor], _: Optional[Tensor]) -> tuple[Optional[Tensor], ...]:
    nothing = (None,) * 8
    if grad_out is None:
        return (None, None, None, *nothing)
    q, k, v, out, log_sum_exp, document_start, dropout_key = ctx.saved_tensors
    pattern, parameters, query_offset, key_offset, scale, dropout = ctx.options
    grad_q, grad_k, grad_v = _backward(grad_out, q, k, v, out, log_sum_exp, pattern, parameters, query_offset, key_offset,
                                       document_start, scale, dropout, dropout_key)
    return (grad_q, grad_k, None if v is None else grad_v, *nothing)


def _no_second_derivative(ctx: Any, *grads: Optional[Tensor]) -> None:
    raise RuntimeError("interval_attention: it has no second derivative")


torch.library.register_autograd("ecp_python::interval_attention", _gradients, setup_context=_setup_context)
torch.library.register_autograd("ecp_python::interval_attention_backward", _no_second_derivative)


def _check(q: Tensor, k: Tensor, v: Optional[Tensor], document_start: Optional[Tensor]) -> None:
    for name, t in (("q", q), ("k", k), ("v", v)):
        if t is None:
            continue
        if not isinstance(t, Tensor):
            raise TypeError(f"interval_attention: {name}: expected a tensor, got {type(t).__name__}")
        if t.dim() != 4:
            raise ValueError(f"interval_attention: {name}: expected 4 dimensions [batch, rows, heads, width], got {list(t.shape)}")
        if t.device.type not in ("cpu", "meta"):
            raise ValueError(f"interval_attention: {name}: expected a tensor on the CPU, got {t.device}")
        if t.dtype not in _DTYPES or t.dtype != q.dtype:
            wanted = "float32, bfloat16 or float64" if t is q or q.dtype not in _DTYPES else f"q's dtype {q.dtype}"
            raise TypeError(f"interval_attention: {name}: expected dtype {wanted}, got {t.dtype}")
        if t.shape[0] != q.shape[0] or t.shape[3] != q.shape[3]:
            raise ValueError(f"interval_attention: {name}: expected q's batch {q.shape[0]} and width {q.shape[3]}, got {list(t.shape)}")
    if k.shape[2] < 1 or q.shape[2] % k.shape[2] != 0:
        raise ValueError(f"interval_attention: k: expected a number of heads that divides q's {q.shape[2]}, got {k.shape[2]}")
    if v is not None and v.shape != k.shape:
        raise ValueError(f"interval_attention: v: expected k's shape {list(k.shape)}, got {list(v.shape)}")
    if document_start is not None and (document_start.dtype != torch.int32 or document_start.shape != q.shape[:2]):
        raise ValueError(f"interval_attention: document_start: expected int32 {list(q.shape[:2])}, got {document_start.dtype} "
                         f"{list(document_start.shape)}")


def _key_of(key: Union[Tensor, Sequence[int], None], batch: int) -> Tensor:
    """int64 [3 + B]: seed, step, layer, and the global index of each sample."""
    if key is None:
        seed = torch.randint(2**62, (1,), dtype=torch.int64)
        return torch.cat((seed, torch.zeros(2, dtype=torch.int64), torch.arange(batch, dtype=torch.int64)))
    if isinstance(key, Tensor):
        return key
    return torch.tensor(list(key), dtype=torch.int64)


def _autocast(t: Tensor) -> Tensor:
    """As PyTorch's own attention under autocast; there is no float16 here."""
    if t.dtype == torch.float64:
        return t
    wanted = torch.get_autocast_dtype("cpu")
    return t.to(torch.bfloat16 if wanted == torch.bfloat16 else torch.float32)


def interval_attention(
    q: Tensor,
    k: Tensor,
    v: Optional[Tensor] = None,
    *,
    pattern: PatternLike,
    query_offset: int = 0,
    key_offset: int = 0,
    document_start: Optional[Tensor] = None,
    scale: Optional[float] = None,
    dropout: float = 0.0,
    dropout_key: Union[Tensor, Sequence[int], None] = None,
) -> Tensor:
    """softmax(scale · q kᵀ) v, each query row among the keys that `pattern` shows it; [B, n, H, d_h] in q's dtype.

    q: [B, n, H, d_h]; k and v: [B, m, H_kv, d_h] with H_kv a divisor of H. float32, bfloat16 (summed in float32) or float64
    (slow: for gradcheck), on the CPU, with any strides. Without v, k serves as both. Rows that see nothing give zeros.

    pattern: one of ecp.patterns.
    query_offset, key_offset: the rows of the stream at which q and k begin.
    document_start: int32 [B, n], the first row of the stream that each query may see.
    scale: d_h ** -0.5 if it is not given.
    dropout: share of the attention probabilities that fall. Which ones is a function of dropout_key, int64 [3 + B] (seed, step,
    layer, and an index for each sample), drawn by PyTorch's generator if it is not given.

    It can be differentiated once with respect to q, k and v. Under torch.compile it is one node of the graph.
    """
    if torch.is_autocast_enabled("cpu") and q.device.type in ("cpu", "meta"):
        q, k, v = _autocast(q), _autocast(k), None if v is None else _autocast(v)
    _check(q, k, v, document_start)
    if not 0 <= dropout < 1:
        raise ValueError(f"interval_attention: dropout: expected a value in [0, 1), got {dropout}")
    key = _key_of(dropout_key, q.shape[0]) if dropout > 0 else None
    if isinstance(pattern, HeadPatterns):
        return _by_heads(q, k, v, pattern.patterns, query_offset, key_offset, document_start, scale, dropout, key)
    if not isinstance(pattern, Pattern):
        raise TypeError(f"interval_attention: pattern: expected one of ecp.patterns, got {pattern!r}")
    out: Tensor = _forward(q, k, v, pattern.kind, list(pattern.parameters), query_offset, key_offset, document_start, scale, dropout, key)[0]
    return out


def _by_heads(
    q: Tensor, k: Tensor, v: Optional[Tensor], patterns: tuple[Pattern, ...], query_offset: int, key_offset: int,
    document_start: Optional[Tensor], scale: Optional[float], dropout: float, key: Optional[Tensor],
) -> Tensor:
    heads, kv_heads, shares = q.shape[2], k.shape[2], len(patterns)
    if heads % shares != 0 or (kv_heads % shares != 0 and shares % kv_heads != 0):
        raise ValueError(f"interval_attention: pattern: expected heads that can be shared out among {shares} patterns, got {heads} "
                         f"of q and {kv_heads} of k")
    share = heads // shares
    kv_share = max(1, kv_heads // shares)
    parts = []
    for i, pattern in enumerate(patterns):
        first = i * kv_heads // shares
        keys = k[:, :, first:first + kv_share]
        values = None if v is None else v[:, :, first:first + kv_share]
        # Heads are counted from 0 in each part: the layer's place in the key keeps their dropout apart.
        part_key = key if key is None or i == 0 else key + torch.tensor([0, 0, 1024 * i] + [0] * (key.shape[0] - 3))
        parts.append(_forward(q[:, :, i * share:(i + 1) * share], keys, values, pattern.kind, list(pattern.parameters), query_offset,
                              key_offset, document_start, scale, dropout, part_key)[0])
    return torch.cat(parts, dim=2)
