"""`ecp serve` as OpenAI's own client for Python drives it."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

try:
    import openai
except ImportError as error:
    print(f"skipped: openai cannot be imported ({error}); scripts/setup --python installs it")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from serving import ECP, Server  # noqa: E402
from support import written_checkpoints  # noqa: E402


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = written_checkpoints()
        cls.checkpoint = Path(cls.folder.name) / "words"
        cls.server = Server(cls.checkpoint, "--model-name", "tiny", environment={"ECP_API_KEY": "secret"})
        cls.url = f"http://127.0.0.1:{cls.server.port}/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key="secret", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()
        cls.folder.cleanup()

    def slots_busy(self):
        headers = {"Authorization": "Bearer secret"}
        lines = self.server.ask("/metrics", headers=headers)[2].splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("ecp_slots_busy ")))

    def test_completions(self):
        done = self.client.completions.create(model="tiny", prompt="the cat", max_tokens=12, seed=1, temperature=1)
        written = subprocess.run([ECP, "generate", self.checkpoint, "--prompt", "the cat", "--max-tokens", "12", "--seed", "1",
                                  "--temperature", "1", "--quiet"], capture_output=True, timeout=60, check=True).stdout.decode()
        self.assertEqual("the cat" + done.choices[0].text, written.removesuffix("\n"))
        self.assertEqual(done.usage.completion_tokens, 12)
        self.assertEqual(done.choices[0].finish_reason, "length")

    def test_streams(self):
        ask = {"model": "tiny", "prompt": "the cat", "max_tokens": 12, "seed": 1}
        whole = self.client.completions.create(**ask)
        pieces = list(self.client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(piece.choices[0].text for piece in pieces[:-1]), whole.choices[0].text)
        self.assertEqual(pieces[-1].usage, whole.usage)

    def test_a_stream_that_is_closed_frees_its_slot(self):
        stream = self.client.completions.create(model="tiny", prompt="the", max_tokens=60000, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        self.assertEqual(self.slots_busy(), 1)
        stream.close()
        self.assertTrue(self.server.wait_until(lambda: self.slots_busy() == 0))

    def test_logprobs(self):
        done = self.client.completions.create(model="tiny", prompt="the cat", max_tokens=3, echo=True, logprobs=2, seed=1)
        told = done.choices[0].logprobs
        self.assertEqual("".join(told.tokens), done.choices[0].text)
        self.assertIsNone(told.token_logprobs[0])
        self.assertEqual([done.choices[0].text[at:at + len(token)] for token, at in zip(told.tokens, told.text_offset)], told.tokens)
        self.assertTrue(all(len(top) == 2 for top in told.top_logprobs[1:]))

    def test_chat(self):
        ask = {"model": "tiny", "messages": [{"role": "user", "content": "the cat"}], "max_completion_tokens": 8, "seed": 1}
        done = self.client.chat.completions.create(**ask, logprobs=True, top_logprobs=1)
        self.assertEqual(len(done.choices[0].logprobs.content), done.usage.completion_tokens)
        pieces = list(self.client.chat.completions.create(**ask, stream=True))
        self.assertEqual("".join(piece.choices[0].delta.content or "" for piece in pieces), done.choices[0].message.content)
        self.assertEqual(pieces[0].choices[0].delta.role, "assistant")

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["tiny"])
        self.assertEqual(self.client.models.retrieve("tiny").id, "tiny")

    def test_errors_have_types(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            self.client.completions.create(model="tiny", prompt="a", temperature=-1)
        self.assertEqual(raised.exception.param, "temperature")
        with self.assertRaises(openai.NotFoundError):
            self.client.completions.create(model="other", prompt="a")
        with openai.OpenAI(base_url=self.url, api_key="wrong", max_retries=0) as stranger, \
                self.assertRaises(openai.AuthenticationError):
            stranger.models.list()


if __name__ == "__main__":
    unittest.main()
