"""ecp generate --interactive: a person at a terminal, and lines from a pipe; sessions in files."""

import codecs
import contextlib
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from support import written_checkpoints

ECP = str(pathlib.Path(os.environ["ECP_BINARY_DIR"]) / "ecp")


def setUpModule():
    global folder, checkpoints
    folder = written_checkpoints()
    checkpoints = pathlib.Path(folder.name)


def tearDownModule():
    folder.cleanup()


def generate(*arguments, stdin=""):
    return subprocess.run([ECP, "generate", *map(str, arguments)], input=stdin, capture_output=True, timeout=60, text=True)


def turns(stdin, *arguments):
    done = generate(checkpoints / "bytes", "--interactive", "--quiet", "--max-tokens", "8", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


class Person:
    """Types into a terminal of its own and waits for what appears."""

    def __init__(self, *arguments):
        self.shown = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", ECP_HISTORY=str(checkpoints / "history"))
            os.execv(ECP, [ECP, "generate", str(checkpoints / "bytes"), "--interactive", *arguments])

    def type(self, text):
        os.write(self.terminal, text.encode())

    def see(self, pattern):
        """Waits until what came since the last time matches; returns the match."""
        end = time.monotonic() + 30
        while not (found := re.search(pattern, self.shown, re.S)):
            if time.monotonic() > end or not select.select([self.terminal], [], [], 30)[0]:
                raise AssertionError(f"expected {pattern!r}, got {self.shown!r}")
            try:
                self.shown += self.decoder.decode(os.read(self.terminal, 65536))
            except OSError as error:  # the program ended
                raise AssertionError(f"expected {pattern!r}, got {self.shown!r} and the end") from error
        self.shown = self.shown[found.end():]
        return found

    def leave(self, keys):
        """Its exit code once it has ended."""
        self.type(keys)
        with contextlib.suppress(OSError):  # it ended
            while select.select([self.terminal], [], [], 30)[0]:
                os.read(self.terminal, 65536)
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Terminal(unittest.TestCase):
    def test_lines_are_edited_and_remembered_and_control_c_stops_the_text_alone(self):
        person = Person("--max-tokens", "6", "--seed", "3")
        person.see(r"/help.*> ")
        person.type("teh\x08\x08he \x08\r")  # corrected to "the"
        person.see(r"6 tokens, .* 9 seen.*> ")
        person.type("/set max-tokens 100000000\r")
        person.see("max-tokens.*\n.*> ")
        person.type("\r")
        person.see(".{500}")  # it writes
        person.type("\x03")
        person.see(r"stopped after \d+ tokens.*> ")
        person.type("half a line\x03")
        person.see("\n.*> ")
        person.type("/set max-tokens 5\r/undo\r/undo\r")
        person.see(r"no line to take back.*> ")
        person.type("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x05\x15caf\u00e9\r")  # up, up, ...; to its end; all of it away
        person.see(r"5 tokens, .* 20 seen.*> ")  # a line end and five bytes more than nine, and these
        self.assertEqual(person.leave("\x04"), 0)
        again = Person("--max-tokens", "4", "--quiet")
        again.see("> ")
        again.type("\x1b[A")
        again.see("caf\u00e9")
        self.assertEqual(again.leave("\x15/quit\r"), 0)
        self.assertEqual((checkpoints / "history").stat().st_mode & 0o777, 0o600)

    def test_control_d_while_the_model_writes_ends_after_it_and_control_space_is_nothing(self):
        person = Person("--max-tokens", "5", "--quiet")
        person.see("> ")
        person.type("\x00abc\x00\r")
        person.see("abc.*\n.*> ")
        person.type("/set max-tokens 100000000\r\r")
        person.see(".{500}")  # it writes
        self.assertEqual(person.leave("\x03\x04"), 0)


class Pipe(unittest.TestCase):
    def text(self, prompt, tokens=8, seed=1):
        done = generate(checkpoints / "bytes", "--prompt", prompt, "--max-tokens", str(tokens), "--seed", str(seed),
                        "--quiet")
        return done.stdout[len(prompt):]

    def test_the_model_goes_on_from_each_line(self):
        first = turns("the cat\n").stdout
        self.assertEqual(first.rstrip("\n"), self.text("the cat").rstrip("\n"))
        both = turns("the cat\n\n").stdout  # an empty line: on from there
        self.assertTrue(both.startswith(first.rstrip("\n")), both)
        self.assertGreater(len(both), len(first))
        joined = turns("the \\\ncat\n").stdout
        self.assertEqual(joined.rstrip("\n"), self.text("the \ncat").rstrip("\n"))

    def test_commands(self):
        first = turns("the cat\n").stdout
        self.assertEqual(turns("the cat\n/new\nthe cat\n").stdout, 2 * first)
        self.assertEqual(turns("x\n/undo\n the cat\n").stdout, turns("x\n").stdout + turns(" the cat\n").stdout)
        again = turns("the cat\n/again\n").stdout
        self.assertTrue(again.startswith(first))
        self.assertEqual(again[len(first):].rstrip("\n"), self.text("the cat", seed=2).rstrip("\n"))
        self.assertIn("temperature         0.25", turns("/set temperature 0.25\n/set\n").stdout)
        self.assertIn("/again", turns("/help\n").stdout)
        self.assertEqual(turns("/quit\nthe cat\n").stdout, "")
        self.assertEqual(turns("//\n").stdout.rstrip("\n"), self.text("/").rstrip("\n"))

    def test_mistakes_are_told_and_change_nothing(self):
        for line, message in (("/agian", "unknown command '/agian' (did you mean '/again'?)"),
                              ("/set temprature 1", "did you mean 'temperature'?"),
                              ("/set temperature -1", "temperature: expected 0"),
                              ("/set top-k many", "top-k: expected a number, got 'many'"),
                              ("/set seed", "seed: expected a value"),
                              ("/again", "nothing yet"), ("/undo", "no line to take back"),
                              ("/save", "/save: expected a file"), ("/load /absent", "/absent"),
                              (f"/load {checkpoints / 'bytes' / 'model.safetensors'}", "expected a session of ecp")):
            done = turns(line + "\nthe cat\n")
            self.assertEqual(done.stdout, turns("the cat\n").stdout, line)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(message, done.stderr)

    def test_options_that_do_not_go_together(self):
        for options in (["--json"], ["--tokens", "1"], ["-"], ["--save-session", "x"]):
            done = generate(checkpoints / "bytes", "--interactive", *options)
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)
        done = generate(checkpoints / "tokens", "--interactive")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no tokenizer", done.stderr)


class Sessions(unittest.TestCase):
    def test_a_text_goes_on_in_another_process(self):
        file = checkpoints / "sessions" / "text.session"
        whole = generate(checkpoints / "words", "--prompt", "the cat", "--max-tokens", "40", "--seed", "5").stdout
        begun = generate(checkpoints / "words", "--prompt", "the cat", "--max-tokens", "15", "--seed", "5",
                         "--save-session", file).stdout  # whose folder is made
        rest = generate(checkpoints / "words", "--load-session", file, "--max-tokens", "25", "--seed", "5", "--threads", "1")
        self.assertEqual(begun.rstrip("\n") + rest.stdout, whole)
        self.assertRegex(rest.stderr, "^ecp: 25 tokens after")
        more = generate(checkpoints / "words", "--load-session", file, "--prompt", " and", "--max-tokens", "0")
        self.assertEqual(more.stdout, " and\n")
        self.assertEqual(turns(f"the cat\n/save {file}\n\n").stdout,
                         turns("the cat\n").stdout + turns("", "--load-session", file).stdout)

    def test_what_cannot_be_loaded_or_saved(self):
        file = checkpoints / "other.session"
        generate(checkpoints / "words", "--prompt", "a", "--max-tokens", "3", "--save-session", file)
        for arguments, message in (([checkpoints / "bytes", "--load-session", file], "another model"),
                                   ([checkpoints / "words", "--load-session", checkpoints / "words" / "config.json"],
                                    "config.json"),
                                   ([checkpoints / "words", "--save-session", checkpoints / "bytes" / "config.json" / "x"],
                                    "is no folder"),
                                   ([checkpoints / "words", "--save-session", checkpoints], "expected a file"),
                                   ([checkpoints / "words", "--save-session", checkpoints / "words" / "model.safetensors"],
                                    "would be overwritten")):
            done = generate(*arguments, "--quiet")
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(message, done.stderr)
            self.assertEqual(done.stdout, "")
        self.assertEqual(generate(checkpoints / "words", "--load-session", "/absent").returncode, 2)


if __name__ == "__main__":
    unittest.main()
