"""docs/embedding.md: its programs are compiled and its commands run, in order, as a reader would."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from documented import blocks
from installed import Installed
from support import CommandTest, written_checkpoints

PAGE = Path(os.environ["ECP_SOURCE_DIR"]) / "docs/embedding.md"


class Tutorial(CommandTest):
    def test_it_does_what_it_says(self):
        if os.environ.get("ECP_SANITIZE"):
            self.skipTest("nothing is installed of builds with sanitizers")
        if shutil.which("pkg-config") is None:
            self.skipTest("no pkg-config")
        installed, checkpoints = Installed(), written_checkpoints()
        self.addCleanup(installed.cleanup)
        self.addCleanup(checkpoints.cleanup)
        shutil.copytree(Path(checkpoints.name) / "words", self.folder / "runs/austen")
        outputs = []
        for language, text in blocks(PAGE):
            if language == "sh":
                done = subprocess.run(["bash", "-euc", text], cwd=self.folder, env=installed.environment(), capture_output=True,
                                      encoding="utf-8", errors="replace", timeout=300, check=False)
                self.assertEqual(done.returncode, 0, f"{text}{done.stdout}{done.stderr}")
                outputs.append(done.stdout)
            else:
                self.write(re.match(r"(?://|#) (\S+)\n", text)[1], text)
        first, cmake, tokens, sessions, together, errors = outputs
        self.assertEqual(first, cmake[-len(first):])  # the same program, the same text
        self.assertRegex(tokens, r"\d+ '[^']*' -[\d.]+: '[^']*' [\d.]+ '")
        self.assertGreater(float(re.search(r"perplexity (\S+)", tokens)[1]), 1)
        self.assertIn("the same text: yes", sessions)
        self.assertRegex(together, r"\nIt is a truth.*[\s\S]*\nShe was.*[\s\S]*\nThe house")
        self.assertRegex(together, r"\nShe was.*[\s\S]*\nShe was")
        self.assertRegex(errors, r"\nit wrote a text\ncheckpoint 'runs/austen': .*\n$")


if __name__ == "__main__":
    unittest.main()
