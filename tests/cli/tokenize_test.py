"""ecp tokenize and ecp ngram from the command line: results, and one clear line for bad input."""

import array
import gzip
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ECP = str(pathlib.Path(os.environ["ECP_BINARY_DIR"]) / "ecp")
SANITIZED = os.environ.get("ECP_BINARY_DIR", "").rstrip("/").rsplit("/", 1)[-1] in ("asan", "tsan", "debug")

WORDS = "the house was old and nobody had lived there since winter came over quiet hills near river".split()


def some_text(sentences):
    """Sentences whose words depend on the word before, so that a bigram model has something to learn."""
    state, word, lines = 1, 0, []
    for _ in range(sentences):
        words = []
        for _ in range(12):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            word = (word * 3 + (state >> 60) % 3) % len(WORDS)
            words.append(WORDS[word])
        lines.append(" ".join(words).capitalize() + ".\n")
    return "".join(lines)


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ecp-tokenize-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ecp(self, *arguments):
        return subprocess.run([ECP, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def ecp_json(self, *arguments):
        result = self.ecp(*arguments, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def assert_fails(self, code, message, *arguments):
        result = self.ecp(*arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("ecp: "), lines[0])
        self.assertIn(message, lines[0])

    def tokens(self, name):
        raw = (self.folder / name).read_bytes()
        return array.array("H", raw[128:])


class Tokenize(CommandTest):
    def test_bytes(self):
        self.write("a.txt", "Größe\n")
        result = self.ecp_json("tokenize", "a.txt", "--output", "data/a.npy", "--tokenizer", "bytes")
        self.assertEqual(result["documents"], 1)
        self.assertEqual(result["tokens"], 8)
        self.assertEqual(result["words"], 1)
        self.assertEqual(result["bytes"], 8)
        self.assertEqual(self.tokens("data/a.npy").tolist(), list("Größe\n".encode()))
        sidecar = json.loads((self.folder / "data/a.json").read_text())
        self.assertEqual(sidecar["format"], "ecp-tokens")
        self.assertEqual(sidecar["documents"], [0])
        self.assertEqual(sidecar["sources"][0]["bytes"], 8)
        self.assertEqual(sorted(p.name for p in (self.folder / "data").iterdir()), ["a.json", "a.npy", "a.tokenizer"])

    def test_other_models_tokenizers(self):
        given = pathlib.Path(os.environ["ECP_SOURCE_DIR"]) / "tests/text/tokenizers"
        self.write("a.tokens", " \n = the town = \n \n <unk> rivers \n")
        result = self.ecp_json("tokenize", "a.tokens", "--output", "w.npy", "--tokenizer", given / "vocab.txt")
        self.assertEqual((result["tokenizer"], result["tokens"], result["words"]), ("wordpiece", 11, 10))
        self.assertEqual(self.tokens("w.npy").tolist().count(3), 4)  # [SEP] for each line end
        folder = sorted(p.name for p in (self.folder / "w.tokenizer").iterdir())
        self.assertEqual(folder, ["tokenizer.json", "vocab.txt"])
        again = self.ecp_json("tokenize", "a.tokens", "--output", "again.npy", "--tokenizer", "w.tokenizer")
        self.assertEqual(again["hash"], result["hash"])
        for name in ("gpt2", "llama2", "llama3"):
            bpe = self.ecp_json("tokenize", "a.tokens", "--output", "b.npy", "--force", "--tokenizer",
                                given / f"{name}.json")
            self.assertEqual(bpe["tokenizer"], "bpe")
            again = self.ecp_json("tokenize", "a.tokens", "--output", "c.npy", "--force", "--tokenizer", "b.tokenizer")
            self.assertEqual(again["hash"], bpe["hash"])
        model = json.loads((given / "gpt2.json").read_text(encoding="utf-8"))
        model["normalizer"] = {"type": "NFKC"}
        self.write("tokenizer.json", json.dumps(model))
        self.assert_fails(1, 'the normalizer "NFKC" is not supported', "tokenize", "a.tokens", "--output", "d.npy",
                          "--tokenizer", "tokenizer.json")
        self.write("vocab.txt", "[PAD]\nthe\n")
        self.assert_fails(1, "expected a vocabulary with the token [UNK]", "tokenize", "a.tokens", "--output", "d.npy",
                          "--tokenizer", "vocab.txt")

    def test_train_then_use_for_a_second_file(self):
        for kind in ("bpe", "unigram"):
            self.write("books/a.txt", some_text(400))
            self.write("books/b.txt", some_text(200))
            self.write("test.txt", some_text(40))
            first = self.ecp_json("tokenize", "books", "--output", f"{kind}/train.npy", "--train-tokenizer", kind,
                                  "--vocab-size", "320")
            self.assertEqual(first["documents"], 2)
            self.assertEqual(first["vocab_size"], 320)
            self.assertGreater(first["bytes_per_token"], 1.5)
            second = self.ecp_json("tokenize", "test.txt", "--output", f"{kind}/test.npy", "--tokenizer",
                                   f"{kind}/train.tokenizer")
            self.assertEqual(second["tokenizer_hash"], first["tokenizer_hash"])
            again = self.ecp_json("tokenize", "books", "--output", f"{kind}/again.npy", "--tokenizer",
                                  f"{kind}/train.tokenizer", "--threads", "3")
            self.assertEqual(again["hash"], first["hash"])

    def test_prints_a_table(self):
        self.write("a.txt", "one two three\n")
        result = self.ecp("tokenize", "a.txt", "--output", "a.npy", "--tokenizer", "bytes")
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["documents", "tokens", "words", "bytes", "bytes/token"])
        self.assertEqual(lines[2].split(), ["a.npy", "1", "14", "3", "14", "1.000"])

    def test_formats(self):
        self.write("a.jsonl", '{"text": "one two"}\n{"text": "three"}\n')
        result = self.ecp_json("tokenize", "a.jsonl", "--output", "a.npy", "--tokenizer", "bytes")
        self.assertEqual((result["documents"], result["words"], result["bytes"]), (2, 3, 12))
        self.write("b.tokens", " \n = A = \n \n x y \n")
        result = self.ecp_json("tokenize", "b.tokens", "--output", "b.npy", "--tokenizer", "bytes")
        self.assertEqual((result["format"], result["words"]), ("wikitext", 9))
        self.write("c", b"\xff\xfe x")
        result = self.ecp_json("tokenize", "c", "--output", "c.npy", "--tokenizer", "bytes", "--format", "bytes")
        self.assertEqual((result["tokens"], result["words"]), (4, 2))

    def test_standard_input(self):
        def piped(content, *arguments):
            done = subprocess.run([ECP, "tokenize", "-", "--output", "out.npy", "--tokenizer", "bytes", "--force", "--json",
                                   *arguments], cwd=self.folder, input=content, capture_output=True, timeout=300)
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        lines = b'{"text": "one two"}\n{"text": "three"}\n'
        code, out, err = piped(lines)
        self.assertEqual((code, json.loads(out)["format"], json.loads(out)["documents"]), (0, "text", 1), err)
        code, out, err = piped(lines, "--format", "jsonl")
        self.assertEqual((code, json.loads(out)["documents"], json.loads(out)["words"]), (0, 2, 3), err)
        sidecar = json.loads((self.folder / "out.json").read_text())
        self.assertEqual([(s["name"], s["bytes"]) for s in sidecar["sources"]], [("standard input", len(lines))])
        hash = json.loads(out)["hash"]
        code, out, err = piped(gzip.compress(lines[:20]) + gzip.compress(lines[20:]), "--format", "jsonl")
        self.assertEqual((code, json.loads(out)["hash"]), (0, hash), err)
        self.write("extra.txt", "more")
        code, out, err = piped(b"text, ", "extra.txt")
        self.assertEqual((code, json.loads(out)["bytes"]), (0, 10), err)
        for content, message in ((b"", "'standard input': no text came"), (b"caf\xe9", "'standard input': not UTF-8 at byte 3"),
                                 (gzip.compress(lines)[:-5], "'standard input': truncated gzip data")):
            code, out, err = piped(content)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(message, err)
        self.assert_fails(1, "'-': standard input can be read once only", "tokenize", "-", "-", "--output", "a.npy",
                          "--tokenizer", "bytes")
        self.assert_fails(1, "reads its inputs twice", "tokenize", "-", "--output", "a.npy", "--train-tokenizer", "bpe")

    def test_deduplicate(self):
        self.write("a.jsonl", '{"text": "one"}\n{"text": "two"}\n{"text": "one"}\n')
        result = self.ecp_json("tokenize", "a.jsonl", "--output", "a.npy", "--tokenizer", "bytes", "--deduplicate")
        self.assertEqual((result["documents"], result["duplicates"], result["bytes"]), (2, 1, 6))
        self.assertEqual(json.loads((self.folder / "a.json").read_text())["duplicates"], 1)
        result = self.ecp("tokenize", "a.jsonl", "--output", "b.npy", "--tokenizer", "bytes", "--deduplicate")
        self.assertIn("left out 1 documents that occur earlier", result.stdout)
        result = self.ecp_json("tokenize", "a.jsonl", "--output", "c.npy", "--tokenizer", "bytes")
        self.assertEqual((result["documents"], "duplicates" in result), (3, False))

    def test_bare_model_is_called_unverified(self):
        self.write("a.txt", some_text(300))
        self.ecp_json("tokenize", "a.txt", "--output", "a.npy", "--train-tokenizer", "bpe", "--vocab-size", "310")
        result = self.ecp("tokenize", "a.txt", "--output", "b.npy", "--tokenizer", "a.tokenizer/tokenizer.model")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("could not be verified", result.stderr)
        self.assertEqual(self.tokens("a.npy"), self.tokens("b.npy"))

    def test_force_replaces(self):
        self.write("a.txt", "one")
        self.ecp_json("tokenize", "a.txt", "--output", "a.npy", "--tokenizer", "bytes")
        self.write("a.txt", "other")
        self.assertEqual(self.ecp_json("tokenize", "a.txt", "--output", "a.npy", "--tokenizer", "bytes", "--force")["tokens"], 5)

    def test_help_is_quick(self):
        for command in ("tokenize", "ngram"):
            times = []
            for _ in range(10):
                start = time.perf_counter()
                result = self.ecp(command, "--help")
                times.append(time.perf_counter() - start)
                self.assertEqual(result.returncode, 0)
                self.assertIn("Example", result.stdout)
            if not SANITIZED:
                self.assertLess(min(times), 0.05)


class TokenizeBadInput(CommandTest):
    def tokenize(self, *arguments):
        return ("tokenize", *arguments, "--output", "out.npy", "--tokenizer", "bytes")

    def tearDown(self):
        self.assertEqual([p.name for p in self.folder.iterdir() if "out" in p.name], [])

    def test_inputs(self):
        self.assert_fails(1, "'missing.txt': no such file or folder", *self.tokenize("missing.txt"))
        self.write("empty.txt", "")
        self.assert_fails(1, "'empty.txt': the file is empty", *self.tokenize("empty.txt"))
        (self.folder / "bare").mkdir()
        self.assert_fails(1, "'bare': no text files in it", *self.tokenize("bare"))
        self.write("latin.txt", "caf\xe9".encode("latin-1"))
        self.assert_fails(1, "'latin.txt': not UTF-8 at byte 3", *self.tokenize("latin.txt"))
        self.write("a.jsonl", '{"text": "a"}\n{"body": "b"}\n')
        self.assert_fails(1, "a.jsonl:2': expected a string \"text\"", *self.tokenize("a.jsonl"))
        self.write("a.txt", "a")
        self.assert_fails(1, "inputs of different formats", *self.tokenize("a.txt", "a.jsonl"))

    def test_options(self):
        self.write("a.txt", "some text")
        self.assert_fails(2, "INPUT is required", "tokenize", "--output", "out.npy", "--tokenizer", "bytes")
        self.assert_fails(2, "--output is required", "tokenize", "a.txt", "--tokenizer", "bytes")
        self.assert_fails(1, "expected one of --tokenizer", "tokenize", "a.txt", "--output", "out.npy")
        self.assert_fails(2, "--tokenizer", *self.tokenize("a.txt", "--train-tokenizer", "bpe"))
        self.assert_fails(2, "--train-tokenizer", *self.tokenize("a.txt", "--vocab-size", "300"))
        self.assert_fails(2, "--format", *self.tokenize("a.txt", "--format", "csv"))
        self.assert_fails(2, "--threads", *self.tokenize("a.txt", "--threads", "-1"))
        self.assert_fails(2, "did you mean '--output'", "tokenize", "a.txt", "--outptu", "out.npy", "--tokenizer", "bytes")
        self.assert_fails(1, "expected a name that ends in .npy", "tokenize", "a.txt", "--output", "out.bin", "--tokenizer",
                          "bytes")
        self.assert_fails(1, "no such file or folder", "tokenize", "a.txt", "--output", "out.npy", "--tokenizer", "none")
        self.assert_fails(1, "expected a vocabulary with the token [UNK]", "tokenize", "a.txt", "--output", "out.npy", "--tokenizer", "a.txt")

    def test_vocabulary_too_large_for_the_text(self):
        self.write("a.txt", some_text(20))
        result = self.ecp("tokenize", "a.txt", "--output", "out.npy", "--train-tokenizer", "bpe", "--vocab-size", "30000")
        self.assertEqual(result.returncode, 1)
        self.assertIn("a vocabulary of 30000 is too large for this text: expected at most", result.stderr.splitlines()[-1])

    def test_existing_output_is_kept(self):
        self.write("a.txt", "one")
        self.ecp_json("tokenize", "a.txt", "--output", "kept.npy", "--tokenizer", "bytes")
        before = (self.folder / "kept.npy").read_bytes()
        self.assert_fails(1, "exists already (--force replaces it)", "tokenize", "a.txt", "--output", "kept.npy", "--tokenizer",
                          "bytes")
        self.assertEqual((self.folder / "kept.npy").read_bytes(), before)

    def test_damaged_tokenizer(self):
        self.write("a.txt", some_text(300))
        self.ecp_json("tokenize", "a.txt", "--output", "a.npy", "--train-tokenizer", "bpe", "--vocab-size", "310")
        model = self.folder / "a.tokenizer/tokenizer.model"
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        self.assert_fails(1, "damaged: expected the hash", "tokenize", "a.txt", "--output", "out.npy", "--tokenizer", "a.tokenizer")


class Stopped(CommandTest):
    """Whatever ends `ecp tokenize` before its time leaves nothing that could be taken for a token file."""

    LINES = (json.dumps({"text": some_text(40)}) + "\n").encode()

    def names(self):
        return sorted(p.name for p in (self.folder / "out").iterdir())

    def start(self, size=20_000_000):
        """A run that has read some 20 MB from its standard input, or will in a moment, and waits for more."""
        process = subprocess.Popen([ECP, "tokenize", "-", "--format", "jsonl", "--output", "out/a.npy", "--tokenizer", "bytes"],
                                   cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdin.close)
        for _ in range(size // len(self.LINES)):
            process.stdin.write(self.LINES)
        process.stdin.flush()
        return process

    def test_interrupted(self):
        for asked, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start()
            self.assertNotEqual(self.names(), [])
            process.send_signal(asked)
            self.assertEqual(process.wait(60), code)
            self.assertEqual(process.stderr.read().decode().splitlines()[-1], f"ecp: interrupted by {asked.name}")
            self.assertEqual(self.names(), [])

    def test_interrupted_while_it_waits(self):
        process = self.start(size=len(self.LINES))
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 130)
        self.assertEqual(self.names(), [])

    def test_killed(self):
        process = self.start()
        process.kill()
        self.assertEqual(process.wait(60), -signal.SIGKILL)
        self.assertTrue(all(name.startswith(".a.npy.tmp") for name in self.names()), self.names())
        self.write("a.txt", "one")
        self.assertEqual(self.ecp_json("tokenize", "a.txt", "--output", "out/a.npy", "--tokenizer", "bytes")["tokens"], 3)

    def limited(self, size):
        """Runs it where files can't grow beyond `size` bytes."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return subprocess.run([ECP, "tokenize", "a.txt", "--output", "out/a.npy", "--tokenizer", self.tokenizer], cwd=self.folder,
                              preexec_fn=limit, capture_output=True, text=True, timeout=300)

    def test_no_room(self):
        self.write("a.txt", some_text(4000))
        self.ecp_json("tokenize", "a.txt", "--output", "m.npy", "--train-tokenizer", "bpe", "--vocab-size", "310")
        for self.tokenizer, sizes in (("bytes", (0, 100, 4096, 100_000)), ("m.tokenizer", (100_000, 150_000))):
            for size in sizes:
                result = self.limited(size)
                self.assertEqual((result.returncode, result.stdout), (1, ""), size)
                self.assertRegex(result.stderr.splitlines()[-1], r"^ecp: error: cannot \w+ '.*out/.*': File too large$")
                self.assertEqual(self.names(), [], size)

    def test_full_disk(self):
        disk = self.folder / "out"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True).returncode != 0:
            self.skipTest("file systems can't be mounted here")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        self.write("a.txt", some_text(4000))
        result = self.ecp("tokenize", "a.txt", "--output", "out/a.npy", "--tokenizer", "bytes")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("No space left on device", result.stderr.splitlines()[-1])
        self.assertEqual(self.names(), [])
        # The tokens fit, the sidecar does not.
        self.write("b.jsonl", '{"text": "a"}\n' * 60_000)
        result = self.ecp("tokenize", "b.jsonl", "--output", "out/b.npy", "--tokenizer", "bytes")
        self.assertIn("No space left on device", result.stderr.splitlines()[-1])
        self.assertEqual(self.names(), [])


class Ngram(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("a.txt", some_text(400))
        self.write("b.txt", some_text(450)[-2000:])
        self.ecp_json("tokenize", "a.txt", "--output", "a.npy", "--train-tokenizer", "bpe", "--vocab-size", "320")
        self.ecp_json("tokenize", "b.txt", "--output", "b.npy", "--tokenizer", "a.tokenizer")

    def test_rows(self):
        result = self.ecp_json("ngram", "--train", "a.npy", "--test", "b.npy")
        unigram, bigram = result["models"]
        self.assertEqual((unigram["model"], bigram["model"]), ("unigram", "bigram"))
        self.assertEqual(unigram["bytes"], 2000)
        self.assertLess(bigram["bits_per_byte"], unigram["bits_per_byte"])
        table = self.ecp("ngram", "--train", "a.npy", "--test", "b.npy").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in table], ["model", table[1], "unigram", "bigram"])

    def test_bad_input(self):
        self.assert_fails(1, "'none.npy': no such file", "ngram", "--train", "a.npy", "--test", "none.npy")
        self.assert_fails(2, "--test is required", "ngram", "--train", "a.npy")
        content = (self.folder / "b.npy").read_bytes()
        for size in (0, 50, 127, len(content) - 1):
            self.write("b.npy", content[:size])
            self.assert_fails(1, "b.npy'", "ngram", "--train", "a.npy", "--test", "b.npy")
        self.write("b.npy", content)
        (self.folder / "b.json").unlink()
        self.assert_fails(1, "expected its sidecar", "ngram", "--train", "a.npy", "--test", "b.npy")
        self.ecp_json("tokenize", "b.txt", "--output", "c.npy", "--tokenizer", "bytes")
        self.assert_fails(1, "expected the tokenizer of the training files", "ngram", "--train", "a.npy", "--test", "c.npy")


if __name__ == "__main__":
    unittest.main()
