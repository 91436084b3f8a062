"""What the built programs promise: `ecp` knows no LibTorch, and starts at once."""

import json
import os
import re
import resource
import statistics
import subprocess
import unittest
from pathlib import Path

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
LIBTORCH = re.compile(r"libtorch|libc10|site-packages/torch")


def without_torch(file):
    """Whether a source file belongs to libecp or to the `ecp` program."""
    name = os.path.relpath(file, SOURCE)
    rooms = ("base", "intervals", "kernels", "machine", "text", "config", "weights", "runtime", "experiment", "cli")
    return name.startswith(tuple(f"ecp/{room}/" for room in rooms)) and not name.startswith("ecp/cli/torch/")


def used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Programs(unittest.TestCase):
    def test_ecp_is_not_linked_to_libtorch(self):
        result = subprocess.run(["ldd", BINARY / "ecp"], capture_output=True, text=True, check=True)
        self.assertIn("libc.so", result.stdout)
        self.assertNotRegex(result.stdout, LIBTORCH)
        self.assertNotIn("not found", result.stdout)

    def test_ecp_does_not_carry_the_way_to_libtorch(self):
        result = subprocess.run(["readelf", "-d", BINARY / "ecp"], capture_output=True, text=True, check=True)
        self.assertIn("NEEDED", result.stdout)
        self.assertNotRegex(result.stdout, LIBTORCH)

    def test_libecp_is_compiled_without_libtorch(self):
        commands = json.loads((BINARY / "compile_commands.json").read_text(encoding="utf-8"))
        checked = 0
        for entry in commands:
            if not without_torch(entry["file"]):
                continue
            checked += 1
            self.assertNotRegex(entry["command"], r"-(I|isystem)\s*\S*torch", entry["file"])
            self.assertNotRegex(entry["command"], r"-include \S*cmake_pch", entry["file"])
        self.assertGreater(checked, 10)

    def test_help_answers_at_once(self):
        if os.environ.get("ECP_SANITIZE"):
            self.skipTest("sanitizers slow the start down")
        for arguments in (["--help"], ["tokenize", "--help"], ["generate", "--help"], ["--version"]):
            seconds = []  # of CPU time: others' work on the machine is not ecp's
            for _ in range(15):
                before = used_by_children()
                subprocess.run([BINARY / "ecp", *arguments], capture_output=True, check=True)
                seconds.append(used_by_children() - before)
            print(f"ecp {' '.join(arguments)}: {min(seconds) * 1000:.1f} ms of CPU time at best, "
                  f"{statistics.median(seconds) * 1000:.1f} ms median")
            self.assertLess(min(seconds), 0.05, arguments)


if __name__ == "__main__":
    unittest.main()
