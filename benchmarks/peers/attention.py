"""Attention of ECP's blocks in PyTorch, as a worker that benchmarks/attention.py asks beside ours.

--formulation sdpa: scaled_dot_product_attention over overlapping views: each block's queries against the block before
and their own, with a mask; keys and values are views of one padded tensor. --formulation authors: as the paper's
program computes it, segment by segment, einsum and a mask before the softmax. --formulation flex: FlexAttention,
compiled, forward only (it has no backward on a CPU). --formulation local: the package local-attention. --formulation
operator: ours, from the Python package ecp, for benchmarks/python_operator.py.

Each line "WHAT REPEATS" (forward, backward) is answered by one JSON line.
"""

import argparse
import json
import math
import resource
import sys
import time

import torch
from torch.nn import functional as F


def overlapping(x, block):
    """[B, H, n, d] -> [B, H, n / block, 2 block, d]: each block with the one before (zeros before the first)."""
    padded = F.pad(x, (0, 0, block, 0))
    return padded.unfold(2, 2 * block, block).transpose(-1, -2)


def mask_of(block, blocks):
    """[blocks, block, 2 block], true where a query sees the key."""
    row = torch.arange(block)[:, None]
    key = torch.arange(2 * block)[None, :] - block
    seen = (key <= row).expand(blocks, block, 2 * block).clone()
    seen[0] &= key >= 0
    return seen


def sdpa(q, k, v, block, mask):
    batch, heads, n, width = q.shape
    blocks = n // block
    keys, values = (overlapping(t, block).reshape(batch, heads * blocks, 2 * block, width) for t in (k, v))
    queries = q.reshape(batch, heads * blocks, block, width)
    out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask.repeat(heads, 1, 1)[None])
    return out.reshape(batch, heads, n, width)


def authors(q, k, v, block, mask):
    """Segments one after the other, each a slice of the whole, as the paper's program has it."""
    n, width = q.shape[2], q.shape[3]
    parts = []
    for begin in range(0, n, block):
        first = max(0, begin - block)
        queries, keys, values = q[:, :, begin:begin + block], k[:, :, first:begin + block], v[:, :, first:begin + block]
        scores = torch.einsum("b h i d, b h j d -> b h i j", queries, keys) / math.sqrt(width)
        seen = mask[begin // block][:, -keys.shape[2]:]
        scores = scores.masked_fill(~seen, -torch.finfo(scores.dtype).max)
        parts.append(torch.einsum("b h i j, b h j d -> b h i d", scores.softmax(dim=-1), values))
    return torch.cat(parts, dim=2)


def resident():
    """Bytes of this process in memory now."""
    for line in open("/proc/self/status", encoding="ascii"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def flex(q, k, v, block, mask):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def seen(_batch, _head, query, key):
        return (key <= query) & (key >= (query // block - 1) * block)

    n = q.shape[2]
    block_mask = create_block_mask(seen, None, None, n, n, device="cpu", BLOCK_SIZE=128)
    compiled = torch.compile(flex_attention)
    return lambda q, k, v: compiled(q, k, v, block_mask=block_mask)


def local(q, k, v, block, mask):
    try:
        from local_attention import LocalAttention
    except ImportError:
        sys.exit("attention.py: --formulation local: expected the package local-attention (pip install local-attention)")
    module = LocalAttention(window_size=block, causal=True, look_backward=1, look_forward=0, use_rotary_pos_emb=False)
    return lambda q, k, v: module(q, k, v)


def operator(q, k, v, block, mask):
    try:
        import ecp
    except ImportError:
        sys.exit("attention.py: --formulation operator: expected the package ecp (scripts/wheel builds it)")
    pattern = ecp.patterns.ecp(block)

    def attend(q, k, v):
        return ecp.interval_attention(*(t.transpose(1, 2) for t in (q, k, v)), pattern=pattern).transpose(1, 2)

    return attend


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sequence", 8192), ("block", 256), ("heads", 6), ("width", 128), ("batch", 1), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--formulation", choices=("sdpa", "authors", "flex", "local", "operator"), default="sdpa")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    n, block = arguments.sequence, arguments.block
    if n % block != 0:
        sys.exit(f"attention.py: --block: expected a divisor of --sequence {n}, got {block}")
    dtype = getattr(torch, arguments.dtype)
    torch.manual_seed(1)

    def rows():  # token-major, as a model lays it out
        return torch.randn(arguments.batch, n, arguments.heads, arguments.width).to(dtype).transpose(1, 2)

    q, k, v, grad = (rows() for _ in range(4))
    for t in (q, k, v):
        t.requires_grad_(arguments.formulation != "flex")
    mask = mask_of(block, n // block)
    if arguments.formulation in ("flex", "local", "operator"):
        attend = {"flex": flex, "local": local, "operator": operator}[arguments.formulation](q, k, v, block, mask)
    else:
        formulation = {"sdpa": sdpa, "authors": authors}[arguments.formulation]

        def attend(q, k, v):
            return formulation(q, k, v, block, mask)
    if arguments.compile:
        attend = torch.compile(attend)
    before = resident()
    visible = block * (block + 1) // 2 * (n // block) + block * block * (n // block - 1)
    entries = visible * arguments.batch * arguments.heads * arguments.width
    for line in sys.stdin:
        what, repeats = line.split()
        seconds = 0.0
        for _ in range(int(repeats)):
            if what == "backward":
                out = attend(q, k, v)
                for t in (q, k, v):
                    t.grad = None
            start = time.perf_counter()
            if what == "forward":
                out = attend(q, k, v)
            else:
                out.backward(grad)
            seconds += time.perf_counter() - start
        operations = (4 if what == "forward" else 10) * entries
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds / int(repeats), "rate": operations * int(repeats) / seconds,
                          "peak_memory": peak, "memory": peak - before}), flush=True)


if __name__ == "__main__":
    main()
