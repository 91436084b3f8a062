"""The wheel as a package: its files and libraries, its programs with and without PyTorch, its types, and what docs/python.md says."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "cli")]
import wheel_support  # noqa: E402

wheel_support.enter()

from documented import blocks  # noqa: E402

import ecp  # noqa: E402

# What may be outside: the C and C++ libraries that every wheel may expect, zlib, and PyTorch.
OUTSIDE = re.compile(r"^(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libz|libtorch_cpu|libc10)\.so")


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False, **options)


def elf_files(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            yield path


class Package(unittest.TestCase):
    def test_files(self):
        names = zipfile.ZipFile(wheel_support.wheel()).namelist()
        for name in ("ecp/py.typed", "ecp/_stream.pyi", "ecp/_operator.so", "ecp/bin/ecp", "ecp/bin/ecp-torch", "ecp/bin/ecp-torch.bin"):
            self.assertIn(name, names)
        self.assertEqual([n for n in names if re.search(r"libtorch|libc10", n)], [])
        self.assertIn("manylinux", wheel_support.wheel().name)

    def test_every_library_is_inside(self):
        folder = wheel_support.installed()
        inside = {path.name for place in (folder, folder.parent / "ecp.libs") for path in place.rglob("*.so*")}
        for path in (*elf_files(folder), *elf_files(folder.parent / "ecp.libs")):
            needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", path).stdout)
            self.assertTrue(needed, path)
            self.assertEqual([n for n in needed if n not in inside and not OUTSIDE.match(n)], [], path)

    def test_the_operator_needs_kernels_only(self):
        needed = run("objdump", "-p", wheel_support.installed() / "_operator.so").stdout
        self.assertNotRegex(needed, "libdnnl|libgomp|libsentencepiece")
        symbols = run("nm", "-D", "--undefined-only", wheel_support.installed() / "_operator.so").stdout
        theirs = re.findall(r" U (\S*(?:c10|torch|at6|2at)\S*)", symbols)
        self.assertTrue(theirs)
        self.assertEqual([s for s in theirs if not s.startswith(("aoti_torch_", "torch_"))], [], "the stable ABI is C's")

    def test_the_programs(self):
        version = run(wheel_support.program(), "--version")
        self.assertIn(ecp.__version__, version.stdout)
        self.assertEqual(run(wheel_support.program(), "nothing").returncode, run(wheel_support.installed() / "bin" / "ecp", "nothing").returncode)
        import torch

        helped = run(wheel_support.program(), "train", "--help")
        direct = run(wheel_support.program("ecp-torch"), "train", "--help")
        if torch.__version__.startswith("2.11."):
            self.assertEqual((helped.returncode, direct.returncode), (0, 0), helped.stderr)
            self.assertIn("--resume", helped.stdout)
        else:
            self.assertEqual((helped.returncode, direct.returncode), (1, 1))
            self.assertRegex(helped.stderr, r"^ecp-torch: expected PyTorch 2\.11 in '.*', got 2\.\d+: pip install 'torch==2\.11\.\*'\n$")

    def test_without_pytorch(self):
        with tempfile.TemporaryDirectory(prefix="ecp-bare-") as folder:
            zipfile.ZipFile(wheel_support.wheel()).extractall(folder)
            for path in (Path(folder) / "ecp" / "bin").iterdir():
                path.chmod(0o755)
            trained = run(Path(folder) / "ecp" / "bin" / "ecp", "train", "--help")
            self.assertEqual(trained.returncode, 1)
            self.assertRegex(trained.stderr, r"^ecp-torch: expected PyTorch 2\.11 in '.*', got none: .*\n$")
            script = "import ecp; print(ecp.patterns.ecp(4).interval(9, 10), ecp.__version__); ecp.interval_attention"
            done = run(sys.executable, "-S", "-c", script, env={"PYTHONPATH": folder})
            self.assertEqual(done.stdout, f"(4, 10) {ecp.__version__}\n")
            self.assertIn("No module named 'torch'", done.stderr)

    def test_types(self):
        if run(sys.executable, "-m", "mypy", "--version").returncode != 0:
            self.skipTest("no mypy; scripts/setup --python installs it")
        done = run(sys.executable, "-m", "mypy", "--strict", "-p", "ecp", cwd=wheel_support.SOURCE / "python")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_the_documentation_says(self):
        import torch

        if not torch.__version__.startswith("2.11."):
            self.skipTest(f"it trains a model, which PyTorch {torch.__version__} can't")
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        names = {}
        environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
        with tempfile.TemporaryDirectory(prefix="ecp-docs-") as folder:
            os.chdir(folder)
            seen = []
            for language, text in blocks(wheel_support.SOURCE / "docs" / "python.md"):
                seen.append(language)
                if language == "sh":
                    done = run("bash", "-euc", text, env=environment)
                    self.assertEqual(done.returncode, 0, done.stderr)
                else:
                    self.assertEqual(language, "python")
                    with contextlib.redirect_stdout(io.StringIO()) as output:
                        exec(compile(text, f"python.md: {text[:40]!r}", "exec"), names)  # noqa: S102
                    self.assertTrue(output.getvalue() or "print" not in text)
        self.assertGreater(seen.count("python"), 5)
        self.assertIn("sh", seen)


if __name__ == "__main__":
    unittest.main()
