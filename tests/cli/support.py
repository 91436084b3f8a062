"""Running the built `ecp` in a temporary folder."""

import os
import subprocess
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

BINARY = Path(os.environ.get("ECP_BINARY_DIR", "build/release")).resolve()


def written_checkpoints():
    """A temporary folder with the checkpoints that the runtime's test of them writes: bytes, paper, words (with an end of
    text), tokens, full, sliding, shifted and wide (of bytes; the last one isn't quite as small), and others with the
    tokenizers of tests/text/tokenizers."""
    folder = tempfile.TemporaryDirectory(prefix="ecp-checkpoints-")
    subprocess.run([BINARY / "test_runtime", "--gtest_filter=CheckpointFiles.LoadAndGenerate"],
                   env={**os.environ, "ECP_WRITE_CHECKPOINTS": folder.name}, check=True, stdout=subprocess.DEVNULL)
    return folder


CONFIG = """
[model]
dim = 16
heads = 2
layers = 2
sequence = 32
block = 8

[data]
train = ["train.npy"]
validation = "validation.npy"

[train]
steps = 6
batch = 2
warmup = 2
threads = 2
eval_every = 3
checkpoint_every = 3
log_every = 2
sample_tokens = 8
"""

needs_training = unittest.skipUnless((BINARY / "ecp-torch").exists(), "built without LibTorch")


def text(lines, seed=1):
    """Lines of small words, different for each seed."""
    words = ["one", "two", "three", "river", "house", "sea", "and", "the"]
    out = []
    state = seed
    for _ in range(lines):
        line = []
        for _ in range(6):
            state = (state * 1103515245 + 12345) % 2**31
            line.append(words[state // 65536 % len(words)])
        out.append(" ".join(line))
    return "\n".join(out) + "\n"


class Outline(HTMLParser):
    """Which elements a page has, and that they close in order."""

    VOID = {"meta", "wbr"}

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


class CommandTest(unittest.TestCase):
    """Each test has a folder of its own, `self.folder`, in which commands run."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def ecp(self, *arguments, code=0, **options):
        """Runs `ecp`; checks the exit code; returns the finished process with its texts."""
        done = subprocess.run([BINARY / "ecp", *map(str, arguments)], cwd=self.folder, capture_output=True,
                              text=True, timeout=300, **options)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def fails(self, *arguments, code=1):
        """Runs a command that must fail; returns the one line it says."""
        done = self.ecp(*arguments, code=code)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def write(self, name, content):
        (self.folder / name).write_text(content, encoding="utf-8")

    def tokenize(self, name, content, tokenizer="bytes"):
        """A token file NAME.npy of a text."""
        self.write(f"{name}.txt", content)
        self.ecp("tokenize", f"{name}.txt", "--output", f"{name}.npy", "--tokenizer", tokenizer)
