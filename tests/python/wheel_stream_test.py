"""The wheel's sessions: the text of `ecp generate`, what else a session can do, Ctrl-C, threads, and one OpenMP beside PyTorch."""

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import wheel_support  # noqa: E402

wheel_support.enter()

import ecp  # noqa: E402

CONFIG = """
[model]
dim = 64
heads = 4
layers = 2
sequence = 256
block = 32

[data]
train = ["text.npy"]

[train]
steps = 60
batch = 4
lr = 3e-3
warmup = 5
threads = 2
sample_tokens = 0
tensorboard = false
"""
PROMPT = "A row sees the block "


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="ecp-wheel-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        (cls.folder / "config.toml").write_text(CONFIG)
        (cls.folder / "text.txt").write_text("A row sees the block before its own, and its own. So it goes: naïve — yes!\n" * 200)
        cls.ecp("tokenize", "text.txt", "--output", "text.npy", "--tokenizer", "bytes")
        # With another PyTorch than the wheel's programs were built with, the built ones can still train.
        built = Path(os.environ.get("ECP_BINARY_DIR", "")) / "ecp"
        trains = subprocess.run([wheel_support.program("ecp-torch"), "--help"], capture_output=True, check=False).returncode == 0
        if not trains and not built.exists():
            raise unittest.SkipTest("no model can be trained here: another PyTorch than the programs were built with")
        cls.ecp("train", "config.toml", "--output", "run", program=wheel_support.program() if trains else built)
        cls.model = ecp.load(cls.folder / "run")

    @classmethod
    def ecp(cls, *arguments, program=None):
        done = subprocess.run([program or wheel_support.program(), *arguments], cwd=cls.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done.stdout

    def session(self, prompt=PROMPT, **options):
        session = self.model.session(**options)
        session.prompt(prompt)
        return session

    def test_the_text_of_ecp_generate(self):
        for options in ({"seed": 1}, {"seed": 7, "temperature": 1.3, "top_k": 20}, {"temperature": 0.0}, {"seed": 3, "top_p": 0.8, "min_p": 0.01}):
            arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
            expected = self.ecp("generate", "run", "--prompt", PROMPT, "--max-tokens", "150", "--quiet", *arguments)
            ours = "".join(self.session(max_tokens=150, **options))
            with self.subTest(options=options):
                self.assertGreater(len(ours), 20)
                self.assertEqual((PROMPT + ours).rstrip("\n"), expected.rstrip("\n"))

    def test_steps_tell_of_each_token(self):
        session = self.session(max_tokens=30, logprobs=3, temperature=0)
        steps = []
        while (step := session.step()) is not None:
            steps.append(step)
        self.assertEqual(len(steps), 30)
        self.assertEqual([s.finish for s in steps], [None] * 29 + ["length"])
        self.assertEqual("".join(s.text for s in steps), "".join(self.session(max_tokens=30, temperature=0)))
        for step in steps:
            self.assertEqual(len(step.top), 3)
            self.assertEqual(step.top[0], (step.token, step.logprob), "the most probable one is taken")
            self.assertLessEqual(math.exp(step.top[0][1]) + math.exp(step.top[1][1]), 1 + 1e-5)
        self.assertIn(f"token={steps[0].token}", repr(steps[0]))
        self.assertIsNone(self.session(max_tokens=1).step().logprob, "not asked for")

    def test_fork_rewind_save_and_restore(self):
        session = self.session(max_tokens=40, seed=5)
        first = [next(session) for _ in range(5)]
        position = session.position
        fork = session.fork()
        session.save(self.folder / "session")
        restored = self.model.restore(self.folder / "session")
        rest = "".join(session)
        self.assertEqual(("".join(fork), "".join(restored)), (rest, rest))
        self.assertEqual("".join(first) + rest, "".join(self.session(max_tokens=40, seed=5)))
        self.assertEqual((session.generated, session.finish), (40, "length"))
        again = self.session(temperature=0, max_tokens=10)
        said = "".join(again)
        again.rewind(again.position - len(PROMPT.encode()))
        self.assertEqual("".join(again), said)
        self.assertGreater(position, len(PROMPT))
        with self.assertRaisesRegex(ecp.Error, "rewind: expected at most"):
            again.rewind(10**9)

    def test_scores_are_what_forward_gives(self):
        scored = self.model.session(logprobs=2).score(PROMPT)
        self.assertIsNone(scored[0].logprob)
        stepped = self.model.session(temperature=0, logprobs=0)
        stepped.prompt(PROMPT[:-1])
        step = stepped.step()
        self.assertEqual([t.token for t in scored], list(PROMPT.encode()))
        if step.token == scored[-1].token:
            self.assertAlmostEqual(step.logprob, scored[-1].logprob, delta=1e-4)
        self.assertTrue(all(t.logprob <= 0 and len(t.top) == 2 for t in scored[1:]))

    def test_memory_is_constant_and_properties_tell(self):
        session = self.session(max_tokens=None, ignore_end_of_text=True)
        before = None
        for _ in range(600):
            session.next_token()
            if session.position == 300:
                before = session.cache_bytes
        self.assertEqual(session.cache_bytes, before)
        self.assertIsNone(session.finish)
        self.assertEqual(session.position, len(PROMPT) + 600)
        model = self.model
        self.assertEqual((model.vocab, model.architecture, model.sequence), (256, "ecp", 256))

    def test_tokenizer(self):
        tokenizer = self.model.tokenizer
        self.assertEqual((tokenizer.kind, tokenizer.vocab_size, tokenizer.end_of_text), ("bytes", 256, None))
        self.assertEqual(tokenizer.decode(tokenizer.encode("naïve")), "naïve")
        self.assertEqual(tokenizer.decode([0xC3]), "\ufffd")
        self.assertEqual(tokenizer.bytes_of(0xC3), b"\xc3")
        self.assertEqual("".join(self.session(list(PROMPT.encode()), seed=2)), "".join(self.session(seed=2)))

    def test_errors(self):
        for error, words, call in [
            (ecp.Error, "no such folder", lambda: ecp.load(self.folder / "nothing")),
            (ecp.Error, "temperature: expected", lambda: self.model.session(temperature=-1)),
            (ecp.Error, "token: expected an id below the vocabulary's size 256, got 1000", lambda: self.model.session().prompt([1000])),
            (ecp.Error, "cannot read", lambda: self.model.restore(self.folder / "nothing")),
            (TypeError, "temprature", lambda: self.model.session(temprature=1)),
        ]:
            with self.subTest(words=words), self.assertRaisesRegex(error, words):
                call()
        self.assertTrue(issubclass(ecp.Error, RuntimeError))
        with self.assertRaises(AttributeError):
            ecp.nothing

    def test_an_interrupt_stops_within_a_token(self):
        session = self.session(max_tokens=None, ignore_end_of_text=True)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            for _ in session:
                self.assertLess(time.monotonic() - start, 60)
        self.assertIsInstance(next(session), str, "and it goes on")

    def test_other_threads_run_meanwhile(self):
        sessions = [self.session(seed=1, max_tokens=100) for _ in range(3)]
        texts = [None] * 3

        def write(i):
            texts[i] = "".join(sessions[i])

        threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(texts, ["".join(self.session(seed=1, max_tokens=100))] * 3)

    def test_beside_pytorch_in_either_order(self):
        """Neither is disturbed by the other's oneDNN, and there is one OpenMP."""
        script = """
import sys
ORDER
import ecp, torch
model = ecp.load(sys.argv[1])
session = model.session(seed=1, max_tokens=60)
session.prompt("A row sees the block before its own, and its own. " * 8)
torch.manual_seed(1)
convolved = torch.nn.functional.conv2d(torch.ones(2, 8, 32, 32), torch.ones(8, 8, 3, 3)).sum().item()
product = (torch.ones(256, 256, dtype=torch.bfloat16) @ torch.ones(256, 256, dtype=torch.bfloat16)).sum().item()
q = torch.ones(1, 64, 2, 16)
attended = ecp.interval_attention(q, q, pattern=ecp.patterns.ecp(16)).sum().item()
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
print([repr("".join(session)), convolved, product, attended, len(libraries)])
"""
        said = set()
        for order in ("import ecp; ecp.load(sys.argv[1]).session().prompt('x ' * 64)", "import torch; torch.ones(9, 9) @ torch.ones(9, 9)"):
            done = subprocess.run([sys.executable, "-c", script.replace("ORDER", order), self.folder / "run"], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            said.add(done.stdout.strip())
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said.pop(), r"1036800\.0, 16777216\.0, 2048\.0, 1\]$")

    def test_pytorch_is_not_imported_for_it(self):
        script = "import sys, ecp; ecp.load(sys.argv[1]).session().step(); ecp.patterns.ecp(4); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script, self.folder / "run"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), "False")


if __name__ == "__main__":
    unittest.main()
