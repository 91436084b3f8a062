"""The public headers, which are installed: they include each other and the standard library only, and each compiles alone."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def public_headers():
    text = (SOURCE / "cmake/Install.cmake").read_text(encoding="utf-8")
    return re.search(r"set\(ecp_public_headers\s+([^)]+)\)", text)[1].split()


def compiler():
    cache = (Path(os.environ["ECP_BINARY_DIR"]) / "CMakeCache.txt").read_text(encoding="utf-8")
    return re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache, re.M)[1]


class Headers(unittest.TestCase):
    def includes(self, header):
        return INCLUDE.findall((SOURCE / header).read_text(encoding="utf-8"))

    def test_they_include_each_other_and_the_standard_library(self):
        headers = public_headers()
        self.assertGreater(len(headers), 5)
        for header in headers:
            for bracket, target in self.includes(header):
                if bracket == '"':
                    self.assertIn(target, headers, f"{header} includes {target}, which is not installed")
                else:
                    self.assertRegex(target, r"^[a-z_]+$", f"{header} includes <{target}>, not a standard header")

    def test_the_umbrella_includes_all(self):
        included = [target for _, target in self.includes("ecp/ecp.h")]
        self.assertEqual(sorted(included), sorted(set(public_headers()) - {"ecp/ecp.h"}))

    def test_each_compiles_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            for header in public_headers():
                copy = Path(folder) / header
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(SOURCE / header, copy)
            for header in public_headers():
                done = subprocess.run([compiler(), "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow",
                                       "-Werror", "-I", folder, "-x", "c++", "-"],
                                      input=f'#include "{header}"\n', capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
