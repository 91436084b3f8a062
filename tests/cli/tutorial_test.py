"""The tutorial's commands, run as they stand in a folder like the project's."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest

import documented
from support import BINARY, needs_training

SOURCE = pathlib.Path(os.environ["ECP_SOURCE_DIR"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@needs_training
class TutorialTest(unittest.TestCase):
    def test_every_command_works(self):
        with tempfile.TemporaryDirectory(prefix="ecp-tutorial-") as name:
            folder = pathlib.Path(name)
            (folder / "docs").symlink_to(SOURCE / "docs")
            (folder / "build").mkdir()
            (folder / "build" / "release").symlink_to(BINARY)
            script = documented.script(SOURCE / "docs" / "tutorial.md", [("8080", str(free_port()))])
            # What still runs if a command fails ends with the script.
            done = subprocess.run(["bash", "-c", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script], cwd=folder,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("fits", done.stdout)                    # --plan
            self.assertIn("data: [DONE]", done.stdout)            # the streamed completion
            self.assertRegex(done.stdout, r"bits per byte|bits/byte")
            self.assertTrue((folder / "runs" / "mine" / "report.html").exists())
            self.assertEqual(json.loads((folder / "health.json").read_text())["status"], "ok")
            answer = next(line for line in done.stdout.splitlines() if line.startswith('{"id"'))
            self.assertEqual(json.loads(answer)["usage"]["completion_tokens"], 20)


if __name__ == "__main__":
    unittest.main()
