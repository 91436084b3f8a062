"""The project installed in a temporary prefix, as `cmake --install` does it."""

import os
import subprocess
import tempfile
from pathlib import Path

from support import BINARY


class Installed:
    """`prefix` was moved after it was installed: nothing in it may depend on where it was."""

    def __init__(self, *arguments):
        self.temporary = tempfile.TemporaryDirectory(prefix="ecp-install-")
        first = Path(self.temporary.name) / "first"
        subprocess.run(["cmake", "--install", BINARY, "--prefix", first, *arguments], check=True, stdout=subprocess.DEVNULL)
        self.prefix = Path(self.temporary.name) / "prefix"
        first.rename(self.prefix)

    def files(self):
        """Names relative to the prefix."""
        return sorted(str(p.relative_to(self.prefix)) for p in self.prefix.rglob("*") if not p.is_dir())

    def only(self, pattern):
        found = list(self.prefix.glob(pattern))
        assert len(found) == 1, (pattern, self.files())
        return found[0]

    def environment(self):
        """How a shell finds what is installed there."""
        pc = self.only("**/ecp.pc").parent
        return {**os.environ, "PATH": f"{self.prefix}/bin:{os.environ['PATH']}", "CMAKE_PREFIX_PATH": str(self.prefix),
                "PKG_CONFIG_PATH": str(pc), "LD_LIBRARY_PATH": str(pc.parent)}

    def cleanup(self):
        self.temporary.cleanup()
