"""A served checkpoint under lm-eval (`local-completions`): the same perplexity as `ecp eval`."""

import importlib.util
import json
import os
import random
import subprocess
import sys
import unittest
from pathlib import Path

if importlib.util.find_spec("lm_eval") is None:
    print("skipped: lm_eval cannot be imported; scripts/setup --python installs it")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from serving import ECP, Server  # noqa: E402
from support import needs_training, written_checkpoints  # noqa: E402

WINDOW, WINDOWS = 32, 120  # the checkpoint's trained length; lm-eval's last window would otherwise see more than ours

TASK = """
task: ecp_text
dataset_path: json
dataset_kwargs:
  data_files:
    test: {documents}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
  - metric: byte_perplexity
"""


def some_text(count):
    choice = random.Random(1).choice
    text = ""
    while len(text) < count:
        text += choice(["one", "two", "three", "river", "house", "sea", "and", "the"]) + choice("  .\n")
    return text[:count]


@needs_training
class LmEval(unittest.TestCase):
    def test_perplexity_is_that_of_ecp_eval(self):
        with written_checkpoints() as name:
            folder = Path(name)
            text = some_text(WINDOW * WINDOWS)
            # The line end that stands before a text in our protocol is lm-eval's prefix.
            (folder / "text.txt").write_text("\n" + text)
            (folder / "text.jsonl").write_text(json.dumps({"text": text}) + "\n")
            (folder / "task.yaml").write_text(TASK.format(documents=folder / "text.jsonl"))
            run = {"check": True, "capture_output": True, "text": True, "timeout": 300}
            subprocess.run([ECP, "tokenize", folder / "text.txt", "--tokenizer", "bytes", "--output", folder / "text.npy"], **run)
            ours = json.loads(subprocess.run([ECP, "eval", folder / "bytes", "--data", folder / "text.npy", "--context", "0",
                                              "--json"], **run).stdout)
            self.assertEqual(ours["window"], WINDOW)
            environment = {**os.environ, "HF_HOME": str(folder / "cache"), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
            with Server(folder / "bytes", "--model-name", "tiny") as server:
                model = (f"model=tiny,base_url=http://127.0.0.1:{server.port}/v1/completions,tokenizer_backend=remote,"
                         f"max_length={WINDOW + 2},max_retries=1")
                done = subprocess.run([sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args", model,
                                       "--tasks", "ecp_text", "--include_path", folder, "--output_path", folder / "result.json"],
                                      env=environment, capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr[-3000:])
            result = json.loads(next(folder.glob("result*.json")).read_text())["results"]["ecp_text"]
            theirs = result["bits_per_byte,none"]
            # Before the line end nothing stands: `ecp eval` counts it as uniform, lm-eval does not count it.
            mine = (ours["bits_per_byte"] * ours["bytes"] - 8) / (ours["bytes"] - 1)
            print(f"bits per byte: ecp eval {ours['bits_per_byte']:.6f}, without the first byte {mine:.6f}; lm-eval {theirs:.6f}")
            self.assertAlmostEqual(theirs / ours["bits_per_byte"], 1, delta=1e-3)
            self.assertAlmostEqual(theirs / mine, 1, delta=1e-5)
            self.assertAlmostEqual(result["byte_perplexity,none"] / 2**mine, 1, delta=1e-4)


if __name__ == "__main__":
    unittest.main()
