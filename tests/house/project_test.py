"""The project's own files: scripts answer, configurations are valid, links lead somewhere."""

import os
import re
import subprocess
import unittest
from pathlib import Path

BINARY = Path(os.environ["ECP_BINARY_DIR"])
SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
SCRIPTS = ["setup", "build", "test", "quickstart", "bench", "format", "fuzz", "package", "wheel"]


class Scripts(unittest.TestCase):
    def run_script(self, name, *arguments, folder="/"):
        return subprocess.run([SOURCE / "scripts" / name, *arguments], cwd=folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)

    def test_each_explains_itself_from_any_folder(self):
        for name in SCRIPTS:
            result = self.run_script(name, "--help")
            self.assertEqual(result.returncode, 0, name)
            self.assertTrue(result.stdout.startswith(f"Usage: scripts/{name}"), result.stdout)
            self.assertEqual(result.stderr, "")

    def test_unknown_arguments_are_one_clear_line(self):
        for name, argument in (("setup", "--pyhton"), ("build", "relaese"), ("format", "--chek"),
                               ("quickstart", "--fast"), ("fuzz", "--secs"), ("package", "--chek"), ("wheel", "--pyton")):
            result = self.run_script(name, argument)
            self.assertNotEqual(result.returncode, 0, name)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, rf"^{name}: unknown (argument|preset) '{argument}'.*\n$")

    def test_set_up_twice_does_nothing(self):
        # This very build was set up; another time must be silent and quick, with and without LibTorch.
        result = self.run_script("setup", "--no-torch")
        if result.returncode != 0 and "expected a Debian" in result.stderr:
            self.skipTest("not a Debian machine")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_another_libtorch_must_be_one(self):
        result = subprocess.run([SOURCE / "scripts/setup"], env={**os.environ, "ECP_TORCH": "/nowhere"},
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "setup: ECP_TORCH: expected lib/libtorch_cpu.so in '/nowhere'\n")


class Files(unittest.TestCase):
    def test_configurations_are_valid(self):
        configs = sorted((SOURCE / "configs").rglob("*.toml"))
        self.assertTrue(configs)
        for config in configs:
            if "\n[compare]\n" in config.read_text(encoding="utf-8"):
                continue  # a comparison, which tests/config/configs_test.cpp reads
            result = subprocess.run([BINARY / "ecp", "config", "show", config], capture_output=True, text=True,
                                    check=False)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_links_lead_somewhere(self):
        pages = [p for p in SOURCE.rglob("*.md") if not {"build", ".venv", "runs", "data"} & set(p.parts)]
        self.assertGreater(len(pages), 3)
        broken = []
        for page in pages:
            text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)  # lambdas aren't links
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
                if not target.startswith("http") and not (page.parent / target).exists():
                    broken.append(f"{page.relative_to(SOURCE)}: {target}")
        self.assertEqual(broken, [])


if __name__ == "__main__":
    unittest.main()
