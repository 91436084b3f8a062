"""What the program says to mistakes: one line that names the thing, what was expected and what to do."""

import unittest

from support import CONFIG, CommandTest, needs_training, text

# Command line, exit code, what the line must say.
MISTAKES = [
    # Words that don't exist.
    ("tokenise books --output x.npy", 2, "unknown subcommand or option 'tokenise' (see ecp --help) (did you mean 'tokenize'?)"),
    ("train my.toml --outptu r", 2, "--outptu (did you mean '--output'?)"),
    ("compare my.toml --outptu r", 2, "unknown option '--outptu' (did you mean '--output'?)"),
    ("", 2, "A subcommand is required (see ecp --help)"),
    ("train my.toml --output r --set train.stpes=3", 1, "--set: unknown key 'train.stpes' (did you mean 'steps'?)"),
    ("train my.toml --output r --set train.learning_rate=3", 1, "--set: unknown key 'train.learning_rate' (keys: steps, "),
    ("train my.toml --output r --set trian.steps=3", 1, "did you mean 'train'?"),
    # What is missing.
    ("train my.toml", 2, "--output is required (see ecp train --help)"),
    ("generate", 2, "CHECKPOINT is required (see ecp generate --help)"),
    ("tokenize books --output x.npy", 1, "expected one of --tokenizer bytes|PATH and --train-tokenizer bpe|unigram"),
    ("tokenize bookz --output x.npy --tokenizer bytes", 1, "'bookz': no such file or folder"),
    ("train my.tml --output r", 1, "cannot read 'my.tml': No such file or directory"),
    ("train --output r --resume", 1, "run folder 'r': no such folder, there is nothing to resume"),
    ("generate runn --prompt x", 1, "checkpoint 'runn': no such folder"),
    ("generate books --prompt x", 1, "checkpoint 'books': expected a folder with manifest.json"),
    ("report books", 1, "books"),
    # What is something else.
    ("tokenize books --output x.txt --tokenizer bytes", 1, "output 'x.txt': expected a name that ends in .npy"),
    ("tokenize books --output x.npy --tokenizer my.toml", 1, "'my.toml': not a SentencePiece model, or damaged"),
    ("tokenize books --output x.npy --tokenizer bytes --format jsonl", 1, "'books/one.txt:1': not JSON at byte 1"),
    ("eval run --data books/one.txt", 1, "token file 'books/one.txt': expected a name that ends in .npy"),
    ("eval run --data pieces.npy", 1, "'pieces.npy': its tokens aren't those of the checkpoint's tokenizer: expected bytes with 256 tokens"),
    ("train my.toml --output r --set data.validation=pieces.npy", 1, "'pieces.npy': expected the tokenizer of 'train.npy' (bytes, 256 tokens"),
    ("train train.npy --output r", 1, "train.npy: expected a configuration in TOML, got bytes that aren't text"),
    ("train my.toml --output my.toml", 1, "run folder 'my.toml': a file of that name exists; expected a new folder"),
    ("tokenize books --output x.npy --train-tokenizer bpe --vocab-size 4k", 2, "--vocab-size: expected a number, got '4k'"),
    ("tokenize books --output x.npy --tokenizer gpt2", 1, "tokenizer 'gpt2': no such file or folder, nor \"bytes\""),
    ("generate run --temperature warm", 2, "--temperature: expected a number, got 'warm'"),
    ("report books", 1, "cannot report on 'books': expected a run folder, with metrics.jsonl in it"),
    ("data stats", 2, "(see ecp data stats --help)"),
    ("train books --output r", 1, "cannot read 'books': it is a folder"),
    ("score run --tokens books/one.txt", 1, "'books/one.txt': not a .npy file"),
    ("import my.toml --output m", 1, "expected NAME.safetensors or a file of torch.save"),
    # What doesn't fit.
    ("tokenize books --output x.npy --train-tokenizer bpe --vocab-size 100", 1, "vocabulary"),
    ("train my.toml --output r --set train.lr=fast", 1, "--set: train.lr: expected a number, got 'fast'"),
    ("train my.toml --output r --set train.lr=-1", 1, "train.lr: expected"),
    ("train my.toml --output r --set model.heads=3", 1, "model.heads: expected a divisor of model.dim 16, got 3"),
    ("train my.toml --output r --set model.sequence=1000000", 1, "'train.npy': expected at least 1000001 tokens for windows of 1000000"),
    ("train my.toml --output run --resume --set model.dim=32", 1, "model.dim: expected 16 as in the run that is resumed, got 32"),
    ("generate run --prompt x --temperature -1", 2, "--temperature: expected 0 (greedy) to 1000, got -1"),
    ("generate run --prompt x --max-tokens many", 2, "--max-tokens: expected a whole number from -1, got 'many'"),
    # What would be lost.
    ("train my.toml --output run", 1, "run folder 'run' exists: continue it with --resume, or choose another --output"),
    ("tokenize books --output train.npy --tokenizer bytes", 1, "'train.npy' exists already (--force replaces it)"),
    ("eval run --data train.npy --output train.npy", 1, "train.npy"),
    ("report run --output train.npy", 1, "train.npy"),
]


@needs_training
class Messages(CommandTest):
    def test_each_mistake_is_one_line_that_helps(self):
        self.tokenize("train", text(60))
        (self.folder / "books").mkdir()
        self.write("books/one.txt", text(400, seed=3))
        self.ecp("tokenize", "books", "--output", "pieces.npy", "--train-tokenizer", "bpe", "--vocab-size", "285")
        self.write("my.toml", CONFIG.replace("validation.npy", "train.npy").replace("steps = 6", "steps = 2"))
        self.ecp("train", "my.toml", "--output", "run")
        before = self.state()
        for command, code, expected in MISTAKES:
            with self.subTest(command):
                done = self.ecp(*command.split(), code=code)
                lines = done.stderr.strip().splitlines()
                self.assertEqual(done.stdout, "")
                self.assertRegex(lines[-1], "^ecp: ")
                self.assertIn(expected, lines[-1])
                # Before it there may be progress, never another complaint.
                self.assertFalse([line for line in lines[:-1] if line.startswith("ecp:")], done.stderr)
                self.assertEqual(self.state(), before, "nothing is written or lost")

    def state(self):
        return {path.relative_to(self.folder): path.stat().st_mtime_ns
                for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock"}


if __name__ == "__main__":
    unittest.main()
