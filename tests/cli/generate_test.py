"""ecp generate: text as it is made, settings, ends, and bad input (one clear line, non-zero exit)."""

import json
import os
import pathlib
import signal
import subprocess
import unittest

from support import written_checkpoints

BINARIES = pathlib.Path(os.environ["ECP_BINARY_DIR"])
ECP = str(BINARIES / "ecp")


def setUpModule():
    global folder, checkpoints
    folder = written_checkpoints()
    checkpoints = pathlib.Path(folder.name)


def tearDownModule():
    folder.cleanup()


def generate(checkpoint, *arguments, stdin=b""):
    return subprocess.run([ECP, "generate", str(checkpoints / checkpoint), *arguments], input=stdin,
                          capture_output=True, timeout=60)


class Text(unittest.TestCase):
    def text(self, *arguments, **options):
        done = generate(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode("utf-8")  # never half a character

    def test_goes_on_from_the_prompt_and_says_how_fast(self):
        done = generate("words", "--prompt", "the cat", "--max-tokens", "20")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith(b"the cat"))
        self.assertGreater(len(done.stdout), len(b"the cat\n"))
        self.assertRegex(done.stderr.decode(), r"^ecp: \d+ tokens after \d+ of prompt .* tokens/s; cache .*\n$")

    def test_other_models_tokenizers(self):
        for checkpoint in ("wordpiece", "wikitext", "gpt2", "llama2"):
            text = self.text(checkpoint, "--prompt", "the town", "--max-tokens", "30")
            self.assertTrue(text.startswith("the town"), text)
            self.assertGreater(len(text), len("the town\n"))
        # Without a prompt: after the end of a text, or of a line.
        self.assertGreater(len(self.text("wikitext", "--max-tokens", "30")), 30)

    def test_the_seed_decides(self):
        one = self.text("bytes", "--prompt", "a", "--seed", "3")
        self.assertEqual(one, self.text("bytes", "--prompt", "a", "--seed", "3", "--threads", "1"))
        self.assertNotEqual(one, self.text("bytes", "--prompt", "a", "--seed", "4"))
        greedy = self.text("bytes", "--prompt", "a", "--temperature", "0", "--seed", "3")
        self.assertEqual(greedy, self.text("bytes", "--prompt", "a", "--temperature", "0", "--seed", "4"))
        self.assertEqual(greedy, self.text("bytes", "--prompt", "a", "--top-k", "1"))

    def test_prompts_from_file_and_standard_input(self):
        expected = self.text("bytes", "--prompt", "caf\u00e9\n", "--max-tokens", "9")
        path = checkpoints / "prompt.txt"
        path.write_text("caf\u00e9\n", encoding="utf-8")
        self.assertEqual(expected, self.text("bytes", "--prompt-file", str(path), "--max-tokens", "9"))
        self.assertEqual(expected, self.text("bytes", "-", "--max-tokens", "9", stdin="caf\u00e9\n".encode()))

    def test_without_a_prompt_a_document_begins(self):
        self.assertNotEqual(self.text("words", "--max-tokens", "30"), "")
        self.assertNotEqual(self.text("bytes", "--max-tokens", "30"), "")

    def test_quiet_is_quiet(self):
        self.assertEqual(generate("paper", "--max-tokens", "50", "--quiet").stderr, b"")

    def test_no_tokens(self):
        self.assertEqual(self.text("bytes", "--prompt", "only this", "--max-tokens", "0"), "only this\n")

    def test_stop_strings_do_not_show(self):
        whole = self.text("bytes", "--max-tokens", "60")
        stop = whole[20]
        stopped = self.text("bytes", "--max-tokens", "60", "--stop", "never to be seen", "--stop", stop)
        self.assertEqual(stopped.rstrip("\n"), whole[:whole.index(stop)].rstrip("\n"))

    def test_json(self):
        result = json.loads(self.text("words", "--prompt", "the", "--max-tokens", "12", "--json", "--temperature", "0"))
        self.assertEqual(result["prompt"], "the")
        self.assertLessEqual(result["generated_tokens"], 12)
        self.assertEqual("the" + result["text"],
                         self.text("words", "--prompt", "the", "--max-tokens", "12", "--temperature", "0")[:-1])

    def test_tokens_where_there_is_no_tokenizer(self):
        ids = self.text("tokens", "--tokens", "1,2,3", "--max-tokens", "5").split()
        self.assertEqual(ids[:3], ["1", "2", "3"])
        self.assertEqual(len(ids), 8)

    def test_beyond_the_trained_length_is_said_once(self):
        note = b"note: beyond the trained length of 32 tokens"
        self.assertEqual(generate("paper", "--max-tokens", "200").stderr.count(note), 1)
        self.assertEqual(generate("paper", "--max-tokens", "20").stderr.count(note), 0)
        self.assertEqual(generate("bytes", "--max-tokens", "200").stderr.count(note), 0)


class Stream(unittest.TestCase):
    def start(self, *arguments):
        # A sanitizer would keep freed memory for a while.
        return subprocess.Popen([ECP, "generate", str(checkpoints / "words"), "--stream", "forever", *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"})

    def test_goes_on_past_the_end_of_a_text_until_interrupted(self):
        running = self.start("--temperature", "2")
        begin = b""
        while b"\n\n" not in begin or len(begin) < 5000:  # the break between documents
            begin += running.stdout.read(500)
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=20)
        self.assertEqual(running.returncode, 0, errors)
        (begin + rest).decode("utf-8")
        self.assertTrue(rest.endswith(b"\n"))
        self.assertIn(b"tokens/s", errors)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        running = self.start()
        running.stdout.read(100)
        running.stdout.close()
        self.assertEqual(running.wait(timeout=20), 0)
        self.assertEqual(running.stderr.read(), b"")
        running.stderr.close()

    def test_text_arrives_while_it_is_made(self):
        running = self.start("--prompt", "the")
        self.assertEqual(running.stdout.read(3), b"the")
        self.assertIsNone(running.poll())
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)

    def test_memory_stays_constant(self):
        running = self.start()

        def resident_after(kilobytes):
            running.stdout.read(kilobytes << 10)
            pages = pathlib.Path(f"/proc/{running.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")

        early = resident_after(50)
        late = resident_after(150)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
        self.assertLess(late - early, 256 << 10)

    def test_ctrl_c_in_a_bounded_run_ends_cleanly(self):
        running = subprocess.Popen([ECP, "generate", str(checkpoints / "bytes"), "--max-tokens", "-1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.stdout.read(100)
        running.send_signal(signal.SIGINT)
        text, _ = running.communicate(timeout=20)
        self.assertEqual(running.returncode, 130)
        self.assertTrue(text.endswith(b"\n"))


class BadInput(unittest.TestCase):
    def refused(self, part, checkpoint, *arguments, stdin=b"", codes=(1, 2)):
        done = generate(checkpoint, *arguments, stdin=stdin)
        message = done.stderr.decode("utf-8")
        self.assertIn(done.returncode, codes, arguments)
        self.assertEqual(done.stdout, b"", arguments)
        self.assertTrue(message.startswith("ecp: ") and message.count("\n") == 1, message)
        self.assertIn(part, message)

    def test_checkpoints(self):
        self.refused("no such folder", "absent")
        self.refused("manifest.json", ".")
        self.refused("expected a prompt as --tokens", "tokens")
        self.refused("expected a prompt as --tokens", "tokens", "--prompt", "text")

    def test_absurd_values(self):
        for value in ("nan", "-1", "1e309", "inf"):
            self.refused("temperature", "bytes", "--temperature", value)
            self.refused("--top-p", "bytes", "--top-p", value)
            self.refused("--min-p", "bytes", "--min-p", value)
            self.refused("--repetition-penalty", "bytes", "--repetition-penalty", value)
        self.refused("--top-p: expected more than 0, at most 1 (off), got 2", "bytes", "--top-p", "2", codes=(2,))
        self.refused("temperature", "bytes", "--temperature", "warm")
        for option in ("--temperature", "--top-p", "--min-p", "--repetition-penalty"):
            self.refused(f"{option}: expected a number, got ''", "bytes", option, "")
        self.refused("--max-tokens: expected a whole number from -1, got '-5'", "bytes", "--max-tokens", "-5")
        self.refused("--top-k: expected a whole number from 0", "bytes", "--top-k", "-1")
        self.refused("from 0 to 1024, got '-2'", "bytes", "--threads", "-2")
        self.refused("from 0 to 1024", "bytes", "--threads", "100000")
        for option in ("--top-k", "--seed", "--max-tokens", "--repetition-window", "--threads"):
            for value in ("99999999999999999999", "1.5", "x"):
                self.refused("expected a whole number", "bytes", option, value)
        self.refused("from 0, got '-1'", "bytes", "--seed", "-1")
        self.refused("forever", "bytes", "--stream", "today")

    def test_prompts(self):
        self.refused("No such file", "bytes", "--prompt-file", str(checkpoints / "absent.txt"))
        self.refused("excludes", "bytes", "--prompt", "a", "--prompt-file", "b")
        self.refused("below the vocabulary's size 50, got 50", "tokens", "--tokens", "1,50")
        self.refused("expected a whole number", "tokens", "--tokens", "1,x")
        self.refused("UTF-8", "words", "-", stdin=b"\xff\xfe")

    def test_the_command_line(self):
        self.refused("did you mean '--temperature'?", "bytes", "--temprature", "1")
        self.refused("unexpected argument", "bytes", "extra")
        self.refused("--stream forever", "bytes", "--json", "--stream", "forever")
        self.refused("--max-tokens excludes --stream", "bytes", "--stream", "forever", "--max-tokens", "9")

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([ECP, "generate", str(checkpoints / "bytes"), "--max-tokens", "5"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)
        for arguments in (["--version"], ["--help"], ["manual"], ["doctor", "--json"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([ECP, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(b"cannot write to standard output", done.stderr)

    def test_an_instruction_set_that_cannot_be(self):
        done = subprocess.run([ECP, "generate", str(checkpoints / "bytes")], capture_output=True, timeout=60,
                              env={**os.environ, "ECP_CPU_ISA": "avx1024"})
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"ECP_CPU_ISA: expected one of baseline", done.stderr)


class Help(unittest.TestCase):
    def test_shows_examples(self):
        done = subprocess.run([ECP, "generate", "--help"], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"--stream forever", done.stdout)
        self.assertIn(b"Examples:", done.stdout)


if __name__ == "__main__":
    unittest.main()
