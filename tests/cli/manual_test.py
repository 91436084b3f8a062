"""ecp manual: a page for each command, with every option, which man shows without complaint."""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from command_lines import TORCH, commands
from support import BINARY, CommandTest


class Pages(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.commands = commands()
        temporary = tempfile.TemporaryDirectory(prefix="ecp-manual-")
        cls.addClassCleanup(temporary.cleanup)
        cls.man1 = Path(temporary.name) / "man1"
        subprocess.run([BINARY / "ecp", "manual", "--output", cls.man1], check=True)

    def page(self, name=""):
        return (self.man1 / (f"ecp-{name}.1" if name else "ecp.1")).read_text(encoding="utf-8")

    def test_every_option_of_every_command_stands_there(self):
        self.assertGreater(len(self.commands), 15)
        for path, options in self.commands.items():
            text = self.page(path.split(" ")[0] if path else "")
            if " " in path:  # its own part of the page
                text = text.split(f'.SS "ecp {path}"\n'.replace("-", "\\-"), 1)[1].split(".SS", 1)[0]
            self.assertGreater(len(options), 0, path)
            for name in options:
                self.assertIn("\\fB" + name.replace("-", "\\-") + "\\fR", text, path)

    def test_all_pages_are_written(self):
        names = sorted(p.name for p in self.man1.iterdir())
        below = {path.split(" ")[0] for path in self.commands if path} | {"train", "eval", "score"}
        self.assertEqual(names, sorted(["ecp.1"] + [f"ecp-{name}.1" for name in below]))
        for name in names:
            text = (self.man1 / name).read_text(encoding="utf-8")
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"):
                self.assertIn(f".SH {section}\n", text, name)
            self.assertTrue(text.isascii(), name)

    def test_man_has_nothing_to_complain_of(self):
        if shutil.which("groff") is None:
            self.skipTest("no groff")
        pages = sorted(self.man1.iterdir())
        for path in pages:
            done = subprocess.run(["groff", "-ww", "-man", "-Tutf8", "-z", path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path.name)
        shown = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", self.man1 / "ecp-generate.1"], capture_output=True,
                               text=True, check=True).stdout
        self.assertRegex(shown, r"NAME\n +ecp-generate - Generate text from a checkpoint\n")
        self.assertRegex(shown, r"--temperature X\n +0: always the most probable token\.\s+Default: 0\.8")
        self.assertIn("    ecp generate runs/austen --stream forever\n", shown)

    def test_what_only_ecp_torch_knows(self):
        text = self.page("train")
        if TORCH:
            self.assertIn("\\fB\\-\\-resume\\fR", text)
        else:  # said, not invented
            self.assertIn("needs LibTorch and isn't part of this installation", re.sub(r"\s+", " ", text))
            self.assertNotIn("resume\\fR", text)

    def test_one_page_is_printed(self):
        self.assertEqual(self.ecp("manual").stdout, self.page())
        self.assertEqual(self.ecp("manual", "data").stdout, self.page("data"))

    def test_unknown_commands(self):
        self.assertEqual(self.fails("manual", "trian"), "ecp: error: unknown command 'trian' (did you mean 'train'?)")


if __name__ == "__main__":
    unittest.main()
