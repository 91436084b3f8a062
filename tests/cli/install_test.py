"""cmake --install, and a program that embeds a model, built against what it installs."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from installed import Installed
from support import BINARY, CommandTest, written_checkpoints

SOURCE = Path(os.environ["ECP_SOURCE_DIR"])
EMBED = SOURCE / "examples/embed"
VERSION = re.search(r"project\(ecp VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
LIBRARY = "libecp.so." + VERSION.rsplit(".", 1)[0]  # its SONAME


def setUpModule():
    if os.environ.get("ECP_SANITIZE"):
        raise unittest.SkipTest("nothing is installed of builds with sanitizers")
    global installed, checkpoints
    installed = Installed()
    unittest.addModuleCleanup(installed.cleanup)
    written = written_checkpoints()
    unittest.addModuleCleanup(written.cleanup)
    checkpoints = Path(written.name)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False,
                          env=installed.environment(), **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class Installation(unittest.TestCase):
    def test_files_stand_where_they_belong(self):
        files = installed.files()
        for name in ("bin/ecp", "include/ecp/ecp.h", "include/ecp/runtime/model.h", "share/doc/ecp/LICENSE"):
            self.assertIn(name, files)
        for pattern in ("**/libecp.so", f"**/{LIBRARY}", "**/cmake/ecp/ecp-config.cmake", "**/pkgconfig/ecp.pc"):
            installed.only(pattern)
        # Nothing of the inside: no other header, no static library.
        text = (SOURCE / "cmake/Install.cmake").read_text(encoding="utf-8")
        public = re.search(r"set\(ecp_public_headers\s+([^)]+)\)", text)[1].split()
        self.assertEqual([f for f in files if f.startswith("include/")], sorted(f"include/{h}" for h in public))
        self.assertEqual([f for f in files if f.endswith(".a")], [])

    def test_components(self):
        runtime = Installed("--component", "runtime")
        self.addCleanup(runtime.cleanup)
        dev = Installed("--component", "dev")
        self.addCleanup(dev.cleanup)
        self.assertIn("bin/ecp", runtime.files())
        self.assertFalse([f for f in runtime.files() if f.startswith("include/") or f.endswith((".cmake", ".pc", "libecp.so"))])
        self.assertFalse(set(runtime.files()) & set(dev.files()))
        torch = {"bin/ecp-torch"} | {f for f in installed.files() if f.endswith("libecp_ops.so")}
        self.assertEqual(set(installed.files()) - set(runtime.files()) - set(dev.files()) - torch, set())

    def test_nothing_knows_where_it_was_built(self):
        for pattern in ("**/*.pc", "**/*.cmake", "share/man/**/*", "share/bash-completion/**/*"):
            for path in installed.prefix.glob(pattern):
                if path.is_file():
                    text = path.read_text(encoding="utf-8")
                    self.assertNotIn(str(SOURCE), text, path)
                    self.assertNotIn(str(BINARY), text, path)

    def test_users_need_no_other_package(self):
        for path in installed.only("**/cmake/ecp/ecp-targets.cmake").parent.iterdir():
            self.assertNotRegex(path.read_text(encoding="utf-8"), r"fmt::|Threads::|PkgConfig::|find_dependency\(", path.name)

    def test_only_the_public_interface_is_exported(self):
        library = installed.only(f"**/{LIBRARY}")
        names = run("nm", "--dynamic", "--defined-only", "--demangle", "--format=posix", library).splitlines()
        names = [re.sub(r" [A-Za-z] [0-9a-f]+( [0-9a-f]+)?$", "", name) for name in names]
        self.assertIn("ecp::version()", names)
        public = r"(ecp|(vtable|typeinfo|typeinfo name) for ecp)::"
        self.assertEqual([name for name in names if not re.match(public, name)], [])
        self.assertEqual([name for name in names if "ecp::kernels" in name.split("(")[0]], [])

    def test_installed_programs_run(self):
        self.assertRegex(run(installed.prefix / "bin/ecp", "--version"), rf"^ecp {VERSION} \(.+\)\n$")
        if (BINARY / "ecp-torch").exists():  # found beside it, and LibTorch by it
            self.assertIn("--resume", run(installed.prefix / "bin/ecp", "train", "--help"))


class Embedding(CommandTest):
    def embed(self, program, *arguments, code=0):
        done = subprocess.run([program, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False,
                              env=installed.environment())
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def check_program(self, program):
        for checkpoint in ("words", "gpt2"):
            output = self.embed(program, checkpoints / checkpoint, "the cat")
            self.assertRegex(output, rf"^libecp {VERSION}: ecp, \d+ layers\nthe cat")
            self.assertRegex(output, r"\n\[\d+ tokens; (as many as asked for|the text's end)\]\n")
            logprobs = [float(x) for x in re.findall(r"token \d+: log-probability (\S+); most probable: \d+ \d+", output)]
            self.assertTrue(logprobs)
            self.assertTrue(all(-20 < x < 0 for x in logprobs), logprobs)
            self.assertLess(float(re.search(r"of the prompt: (\S+)", output)[1]), 0)
            self.assertRegex(output, r"fork 2: .*[\s\S]*fork 3: ")
            before, after = re.search(r"rewound from (\d+) tokens to (\d+)", output).groups()
            self.assertEqual(int(before), int(after) + 1)
            self.assertIn("a restored session goes on as the one that was saved", output)
        self.assertRegex(self.embed(program, self.folder / "none", code=1), r"^embed: .*none.*\n$")

    def test_with_cmake(self):
        build = self.folder / "build"
        run("cmake", "-S", EMBED, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror")
        run("cmake", "--build", build)
        self.check_program(build / "embed")

    def test_with_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("no pkg-config")
        self.assertEqual(run("pkg-config", "--modversion", "ecp"), VERSION + "\n")
        flags = run("pkg-config", "--cflags", "--libs", "ecp").split()
        self.assertIn(f"{installed.prefix}/include", [os.path.normpath(flag[2:]) for flag in flags if flag.startswith("-I")])
        run("c++", "-std=c++20", EMBED / "main.cpp", *flags, "-o", self.folder / "embed")
        self.check_program(self.folder / "embed")
        needed = re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "--dynamic", self.folder / "embed"))
        self.assertIn(LIBRARY, needed)
        self.assertFalse([name for name in needed if re.match("libfmt|libdnnl|libsentencepiece", name)], needed)


if __name__ == "__main__":
    unittest.main()
