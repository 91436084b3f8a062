"""ecp: interval attention for PyTorch, and long-context models that stream text in constant memory.

    import ecp

    out = ecp.interval_attention(q, k, v, pattern=ecp.patterns.ecp(block=256))   # needs PyTorch

    model = ecp.load("runs/austen")                                              # does not
    session = model.session(temperature=0.8, seed=1)
    session.prompt("It is a truth")
    for piece in session:
        print(piece, end="", flush=True)

PyTorch is imported by the first use of `interval_attention` or `nn`.
"""

import sys
from typing import TYPE_CHECKING, Any

from . import patterns
from ._stream import Error, Generated, Model, Session, Tokenizer, load, load_tokenizer
from ._stream import version as __version__

if TYPE_CHECKING:
    from . import nn
    from .attention import interval_attention

__all__ = [
    "Error", "Generated", "Model", "Session", "Tokenizer", "__version__", "interval_attention", "load", "load_tokenizer",
    "nn", "patterns",
]


def __getattr__(name: str) -> Any:
    if name not in ("interval_attention", "nn"):
        raise AttributeError(f"module 'ecp' has no attribute '{name}'")
    from importlib import import_module

    value = import_module("ecp.nn") if name == "nn" else import_module("ecp.attention").interval_attention
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


# torch.compile doesn't trace an import: where PyTorch is there already, what needs it is as well.
if "torch" in sys.modules and hasattr(sys.modules["torch"], "library"):
    __getattr__("interval_attention")
    __getattr__("nn")
