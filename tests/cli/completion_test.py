"""ecp completion: what bash, zsh and fish offer."""

import functools
import os
import pty
import select
import shutil
import subprocess
import time
import unittest

from command_lines import TORCH, commands
from support import BINARY, CommandTest


@functools.cache  # it may ask ecp-torch, which takes its time to start
def script(shell):
    return subprocess.run([BINARY / "ecp", "completion", shell], capture_output=True, text=True, check=True).stdout


class Bash(CommandTest):
    def complete(self, *words):
        """What is offered for the last of the words."""
        harness = script("bash") + '\nCOMP_WORDS=(ecp "$@"); COMP_CWORD=$#; _ecp; printf "%s\\n" "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "--norc", "-c", harness, "bash", *words], cwd=self.folder, capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("gen"), ["generate"])
        self.assertLessEqual({"train", "data", "serve", "completion"}, set(self.complete("")))
        self.assertEqual(sorted(self.complete("data", "")), ["show", "stats", "verify"])
        self.assertEqual(self.complete("data", "st"), ["stats"])
        self.assertEqual(self.complete("bench", "de"), ["decode"])

    def test_every_option_of_every_command(self):
        for path, options in commands().items():
            self.assertLessEqual(set(options), set(self.complete(*path.split(), "-")), path)
        if TORCH:
            self.assertIn("--resume", self.complete("train", "--re"))

    def test_values_of_a_fixed_set(self):
        self.assertEqual(self.complete("tokenize", "--format", ""), ["auto", "text", "jsonl", "wikitext", "bytes"])
        self.assertEqual(self.complete("tokenize", "--format", "=", "j"), ["jsonl"])
        self.assertEqual(len(self.complete("tokenize", "--format", "=")), 5)
        self.assertEqual(self.complete("checkpoint", "convert", "some", "--dtype", "b"), ["bfloat16"])
        self.assertEqual(self.complete("completion", "z"), ["zsh"])
        self.assertEqual(self.complete("generate", "some", "--temperature", ""), [])

    def test_files_and_folders(self):
        for name in ("a.npy", "a.txt", "a.toml"):
            self.write(name, "")
        (self.folder / "runs").mkdir()
        self.assertEqual(sorted(self.complete("data", "show", "")), ["a.npy", "runs"])
        self.assertEqual(sorted(self.complete("config", "show", "")), ["a.toml", "runs"])
        self.assertEqual(self.complete("generate", ""), ["runs"])
        self.assertEqual(sorted(self.complete("generate", "runs", "--prompt-file", "")), ["a.npy", "a.toml", "a.txt", "runs"])
        self.assertEqual(sorted(self.complete("tokenize", "--tokenizer", "")), ["a.npy", "a.toml", "a.txt", "bytes", "runs"])
        self.assertEqual(sorted(self.complete("tokenize", "a.txt", "a")), ["a.npy", "a.toml", "a.txt"])  # as many as one likes
        self.assertEqual(sorted(self.complete("ngram", "--train", "a.npy", "")), ["a.npy", "runs"])
        self.assertEqual(self.complete("ngram", "--train", "a.npy", "--te"), ["--test"])
        self.assertEqual(self.complete("generate", "runs", "-"), [w for w in self.complete("generate", "-") if w != "runs"])

    def test_a_name_with_a_space_is_one(self):
        self.write("my text.txt", "")
        harness = script("bash") + '\nCOMP_WORDS=(ecp tokenize my); COMP_CWORD=2; _ecp; printf "%s\\n" "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "--norc", "-c", harness], cwd=self.folder, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "my text.txt\n")


class Fish(CommandTest):
    def setUp(self):
        super().setUp()
        if shutil.which("fish") is None:
            self.skipTest("no fish")
        self.write("ecp.fish", script("fish"))

    def fish(self, *arguments):
        return subprocess.run(["fish", "--no-config", *arguments], cwd=self.folder, capture_output=True, text=True, check=False,
                              env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"})

    def complete(self, line):
        done = self.fish("-c", "source ecp.fish; complete --do-complete $argv[1]", line)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [offer.split("\t")[0] for offer in done.stdout.splitlines()]

    def test_syntax(self):
        self.assertEqual(self.fish("--no-execute", "ecp.fish").stderr, "")

    def test_offers(self):
        self.write("a.npy", "")
        self.write("a.txt", "")
        (self.folder / "runs").mkdir()
        self.assertIn("generate", self.complete("ecp "))
        self.assertEqual(self.complete("ecp data st"), ["stats"])
        self.assertEqual(self.complete("ecp data stats --to"), ["--tokenizer", "--top"])
        self.assertEqual(self.complete("ecp tokenize --format j"), ["jsonl"])
        self.assertEqual(self.complete("ecp generate r"), ["runs/"])
        self.assertIn("a.npy", self.complete("ecp data show a"))


class Zsh(CommandTest):
    def setUp(self):
        super().setUp()
        if shutil.which("zsh") is None:
            self.skipTest("no zsh")
        self.write("_ecp", script("zsh"))

    def test_syntax(self):
        done = subprocess.run(["zsh", "-n", self.folder / "_ecp"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def after_tab(self, line):
        """What stands on a terminal's command line after LINE and the tab key; written into a file by zsh itself."""
        result = self.folder / "line"
        result.unlink(missing_ok=True)
        self.write(".zshrc", f"""
PS1='ready> '
fpath=({self.folder} $fpath)
autoload -Uz compinit
compinit -u -d {self.folder}/dump
unsetopt beep
tell() {{ print -r -- "$BUFFER" >line.part; mv line.part line }}
zle -N tell
bindkey '^T' tell
""")
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.environ.update(ZDOTDIR=str(self.folder), TERM="dumb", LC_ALL="C.UTF-8")
            os.execvp("zsh", ["zsh", "-i"])
        try:
            self.read_until(terminal, lambda text: "ready> " in text)
            os.write(terminal, (line + "\t\x14").encode())
            self.read_until(terminal, lambda text: result.exists())
            return result.read_text(encoding="utf-8").rstrip("\n")
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
            os.close(terminal)

    def read_until(self, terminal, condition):
        text, end = "", time.monotonic() + 60
        while not condition(text):
            self.assertLess(time.monotonic(), end, text)
            if select.select([terminal], [], [], 0.05)[0]:
                text += os.read(terminal, 65536).decode("utf-8", "replace")

    def test_offers(self):
        self.write("a.npy", "")
        self.write("a.txt", "")
        (self.folder / "runs").mkdir()
        self.assertEqual(self.after_tab("ecp gene"), "ecp generate ")
        self.assertEqual(self.after_tab("ecp data st"), "ecp data stats ")
        self.assertEqual(self.after_tab("ecp data stats --tok"), "ecp data stats --tokenizer=")
        self.assertEqual(self.after_tab("ecp tokenize --format js"), "ecp tokenize --format jsonl ")
        self.assertEqual(self.after_tab("ecp generate r"), "ecp generate runs/")
        self.assertEqual(self.after_tab("ecp data show a"), "ecp data show a.npy ")


if __name__ == "__main__":
    unittest.main()
