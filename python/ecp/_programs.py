"""The console scripts `ecp` and `ecp-torch`: this process becomes the program in the package."""

import os
import sys
from pathlib import Path
from typing import NoReturn


def _become(name: str) -> NoReturn:
    program = Path(__file__).resolve().parent / "bin" / name
    if not program.exists():
        sys.exit(f"{name}: expected the program '{program}'; this package was built without LibTorch")
    os.execv(program, [name, *sys.argv[1:]])


def ecp() -> NoReturn:
    _become("ecp")


def ecp_torch() -> NoReturn:
    _become("ecp-torch")
