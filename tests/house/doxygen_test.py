"""The pages of the public headers: whatever is public is described, and nothing is described wrongly."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BINARY = Path(os.environ["ECP_BINARY_DIR"])


class Doxygen(unittest.TestCase):
    def setUp(self):
        if os.environ.get("ECP_SANITIZE"):
            self.skipTest("not configured in builds with sanitizers")
        if shutil.which("doxygen") is None:
            self.skipTest("no doxygen")

    def pages(self, folder, change=lambda text: text):
        config = Path(folder) / "Doxyfile"
        text = (BINARY / "Doxyfile").read_text(encoding="utf-8")
        config.write_text(change(re.sub(r"(OUTPUT_DIRECTORY +=).*", rf"\1 {folder}", text)), encoding="utf-8")
        return subprocess.run(["doxygen", config], capture_output=True, text=True, check=False)

    def test_the_public_headers_are_described(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.pages(folder)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            page = (Path(folder) / "html/structecp_1_1Sampling.html").read_text(encoding="utf-8")
            self.assertIn("always the most probable token", page)
            self.assertIn("Model", (Path(folder) / "html/index.html").read_text(encoding="utf-8"))

    def test_what_is_not_described_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            header = Path(folder) / "more.h"
            header.write_text("/// A thing.\nstruct Thing {\n  int size = 0;\n};\n", encoding="utf-8")
            done = self.pages(folder, lambda text: re.sub(r"^INPUT .*", f"INPUT = {header}", text, flags=re.M))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("size", done.stderr)


if __name__ == "__main__":
    unittest.main()
