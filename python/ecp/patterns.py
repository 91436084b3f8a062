"""Which keys a query row sees: one contiguous interval [lo, hi) per row, in closed form.

Every bounded pattern is one of blocks: with b rows a block, the first block cut short by `shift` rows, row i stands in
block k = (i + shift) // b and sees `lookback` blocks before it, and its own up to itself (causal) or whole, with as many
after it. Rows are counted from the start of the stream. Heads may have different patterns: `per_head`, `shifted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    import torch

__all__ = [
    "HeadPatterns", "Pattern", "PatternLike", "all_keys", "ecp", "full", "group", "neighbours", "per_head", "segments",
    "shifted", "sliding",
]

_NAMES: dict[str, tuple[str, ...]] = {
    "full": (), "all": (), "ecp": ("block", "lookback", "shift"), "group": ("size", "shift"), "sliding": ("window",),
    "segments": ("size",), "neighbours": ("block", "lookback"),
}
_MOST = 2**40  # rows of a stream; far from where products overflow


@dataclass(frozen=True)
class Pattern:
    """One pattern, as the operator's schema spells it. Made by the functions of this module, which check it."""

    kind: str
    parameters: tuple[int, ...] = ()

    def blocks(self) -> tuple[int, int, int, bool] | None:
        """(block, lookback, shift, causal) of a bounded pattern, None of an unbounded one."""
        p = self.parameters
        if self.kind in ("full", "all"):
            return None
        if self.kind == "ecp":
            return p[0], p[1], p[2], True
        if self.kind == "group":
            return p[0], 0, p[1], True
        if self.kind == "sliding":
            return 1, p[0] - 1, 0, True
        if self.kind == "segments":
            return p[0], 0, 0, False
        return p[0], p[1], 0, False

    def interval(self, row: int, keys: int) -> tuple[int, int]:
        """The keys [lo, hi) that `row` sees among `keys` keys."""
        blocks = self.blocks()
        if blocks is None:
            return 0, min(row + 1, keys) if self.kind == "full" else keys
        block, lookback, shift, causal = blocks
        own = (row + shift) // block
        hi = min(row + 1 if causal else (own + 1 + lookback) * block - shift, keys)
        return min(max(0, (own - lookback) * block - shift), hi), hi

    def mask(self, rows: int, keys: int | None = None) -> torch.Tensor:
        """[rows, keys], true where the query sees the key: the definition, for tests and small inputs."""
        import torch

        keys = rows if keys is None else keys
        seen = torch.zeros(rows, keys, dtype=torch.bool)
        for row in range(rows):
            lo, hi = self.interval(row, keys)
            seen[row, lo:hi] = True
        return seen

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in zip(_NAMES[self.kind], self.parameters))
        return f"{self.kind}({given})"


@dataclass(frozen=True)
class HeadPatterns:
    """Patterns of equal shares of the heads, in order. Made by `per_head` and `shifted`."""

    patterns: tuple[Pattern, ...]


PatternLike = Union[Pattern, HeadPatterns]


def _require(kind: str, name: str, value: int, low: int, high: int = _MOST) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"pattern {kind}: {name}: expected an integer, got {value!r}")
    if not low <= value <= high:
        limits = f"at least {low}" if high == _MOST and value < low else f"from {low} to {high}"
        raise ValueError(f"pattern {kind}: {name}: expected {limits}, got {value}")
    return value


def full() -> Pattern:
    """Causal attention over everything before: row i sees [0, i + 1)."""
    return Pattern("full")


def all_keys() -> Pattern:
    """Every key there is, before and after: bidirectional attention."""
    return Pattern("all")


def ecp(block: int, lookback: int = 1, shift: int = 0) -> Pattern:
    """ECP, causal: a row of block k sees from the beginning of block k - lookback to itself."""
    block = _require("ecp", "block", block, 1)
    lookback = _require("ecp", "lookback", lookback, 1)
    return Pattern("ecp", (block, lookback, _require("ecp", "shift", shift, 0, block - 1)))


def group(size: int, shift: int = 0) -> Pattern:
    """Causal within groups of `size` rows, the first of them cut short by `shift`."""
    size = _require("group", "size", size, 1)
    return Pattern("group", (size, _require("group", "shift", shift, 0, size - 1)))


def sliding(window: int) -> Pattern:
    """The last `window` rows, itself included."""
    return Pattern("sliding", (_require("sliding", "window", window, 1),))


def segments(size: int) -> Pattern:
    """The whole segment of `size` rows in which the row stands (bidirectional)."""
    return Pattern("segments", (_require("segments", "size", size, 1),))


def neighbours(block: int, lookback: int = 1) -> Pattern:
    """Its own block, and `lookback` blocks before and after it (bidirectional ECP)."""
    return Pattern("neighbours", (_require("neighbours", "block", block, 1), _require("neighbours", "lookback", lookback, 1)))


def per_head(*patterns: Pattern) -> HeadPatterns:
    """The first share of the heads has the first pattern, and so on; the shares are equal."""
    if not patterns:
        raise ValueError("per_head: expected at least one pattern, got none")
    for pattern in patterns:
        if not isinstance(pattern, Pattern):
            raise TypeError(f"per_head: expected patterns of ecp.patterns, got {pattern!r}")
    return HeadPatterns(tuple(patterns))


def shifted(size: int) -> HeadPatterns:
    """Shifted attention (LongLoRA): causal within groups, which half of the heads have moved by half a group."""
    return per_head(group(size), group(size, shift=_require("shifted", "size", size, 1) // 2))
