"""`ecp tokenize` against PyPI's `tokenizers`, id for id: the small tokenizers of tests/text/tokenizers, and BERT's
vocabulary on WikiText where the reference data is there."""

import array
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import tokenizers
except ImportError as error:
    print(f"skipped: PyPI's tokenizers cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

BINARY = Path(os.environ["ECP_BINARY_DIR"]).resolve()
SOURCE = Path(os.environ["ECP_SOURCE_DIR"]).resolve()
GIVEN = SOURCE / "tests/text/tokenizers"
SHARED = Path(os.environ.get("ECP_SHARED", SOURCE.parent / "shared"))

spec = importlib.util.spec_from_file_location("make", GIVEN / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def every_character():
    """Between letters, before and after digits."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    return ["".join(f"a{c}b {c}1 " for c in characters[i:i + 4000]) for i in range(0, len(characters), 4000)]


class Tokenizers(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-tokenizers-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def tokenize(self, name, tokenizer):
        """The ids of each document, without the end of text."""
        subprocess.run([BINARY / "ecp", "tokenize", name, "--output", "out.npy", "--force", "--tokenizer", tokenizer],
                       cwd=self.folder, check=True, capture_output=True, timeout=600)
        sidecar = json.loads((self.folder / "out.json").read_text())
        ids = array.array("H", (self.folder / "out.npy").read_bytes()[128:])
        ends = sidecar["documents"][1:] + [len(ids)]
        separators = 1 if sidecar["separated"] else 0
        return [ids[begin:end - separators].tolist() for begin, end in zip(sidecar["documents"], ends)]

    def compare(self, path, texts):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (self.folder / "texts.jsonl").write_text(lines, encoding="utf-8")
        theirs = make.load(path)
        for text, ids in zip(texts, self.tokenize("texts.jsonl", path), strict=True):
            self.assertEqual(ids, theirs.encode(text, add_special_tokens=False).ids, (path.name, text[:200]))

    def test_expected_ids_are_those_of_this_version(self):
        expected = json.loads((GIVEN / "expected.json").read_text(encoding="utf-8"))
        for name, rows in expected["ids"].items():
            theirs = make.load(GIVEN / name)
            for text, ids in zip(expected["texts"], rows, strict=True):
                self.assertEqual(ids, theirs.encode(text, add_special_tokens=False).ids, (name, text))

    def test_random_texts_and_every_character(self):
        paths = [path for path in sorted(GIVEN.glob("*.json")) if path.name != "expected.json"]
        self.assertGreater(len(paths), 6)
        for path in [*paths, GIVEN / "vocab.txt"]:
            self.compare(path, make.texts(3000, seed=7) + every_character())

    def test_wikitext_with_berts_vocabulary(self):
        vocabulary = SHARED / "data/tokenizers/bert-base-cased-vocab.txt"
        text = SHARED / "data/wikitext-103/wiki.valid.tokens"
        if not vocabulary.exists() or not text.exists():
            self.skipTest(f"no BERT vocabulary and WikiText in {SHARED}")
        self.compare(vocabulary, make.texts(3000, seed=8) + every_character())
        whole = text.read_text(encoding="utf-8")
        self.compare(vocabulary, [whole])
        # In WikiText's own format: line ends are [SEP], <unk> is [UNK].
        os.symlink(text, self.folder / "wiki.tokens")
        ids = [token for document in self.tokenize("wiki.tokens", vocabulary) for token in document]
        replaced = whole.replace("\n", "[SEP]").replace("<unk>", "[UNK]")
        self.assertEqual(ids, make.load(vocabulary).encode(replaced, add_special_tokens=False).ids)

    def test_large_vocabularies_trained_on_wikitext(self):
        text = SHARED / "data/wikitext-103/wiki.valid.tokens"
        if not text.exists():
            self.skipTest(f"no WikiText in {SHARED}")
        whole = text.read_text(encoding="utf-8")
        trained = tokenizers.Tokenizer(tokenizers.models.BPE())
        trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        trained.train_from_iterator(whole.splitlines(keepends=True), tokenizers.trainers.BpeTrainer(
            vocab_size=8000, initial_alphabet=alphabet, show_progress=False))
        path = self.folder / "trained.json"
        trained.save(str(path))
        self.compare(path, [whole, *whole.splitlines(keepends=True)])


if __name__ == "__main__":
    unittest.main()
