"""Training that is killed, interrupted or out of disk space ends like a run that wasn't.

ECP_KILLS=50 tests/cli/survival_test.py Killed    kills that often instead of 10 times
"""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import BINARY, CONFIG, CommandTest, needs_training, text

KILLS = int(os.environ.get("ECP_KILLS", "10"))
CLOCK = ("seconds", "tokens_per_second", "peak_memory")


@needs_training
class SurvivalTest(CommandTest):
    settings = {}

    def setUp(self):
        super().setUp()
        self.tokenize("train", text(300))
        self.tokenize("validation", text(20, seed=2))
        self.write("config.toml", CONFIG)

    def arguments(self, run, resume=False):
        if resume:
            return [BINARY / "ecp", "train", "--output", run, "--resume"]
        changes = [f"train.{key}={value}" for key, value in self.settings.items()]
        return [BINARY / "ecp", "train", "config.toml", "--output", run,
                *(word for change in changes for word in ("--set", change))]

    def start(self, run, resume=False):
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen(self.arguments(run, resume), cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def said(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def finish(self, run, resume=True):
        """Trains to the end."""
        process = self.start(run, resume=resume)
        self.assertEqual(process.wait(timeout=300), 0, self.said())

    def wait_for(self, condition, process, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertIsNone(process.poll(), self.said())
            self.assertLess(time.monotonic(), deadline, self.said())
            time.sleep(0.001)

    def steps(self, run):
        folder = self.folder / run / "checkpoints"
        return sorted(int(name[5:]) for name in os.listdir(folder) if name.startswith("step-")) if folder.exists() else []

    def metrics(self, run):
        lines = []
        for line in (self.folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            lines.append({key: value for key, value in json.loads(line).items() if key not in CLOCK})
        return lines

    def assert_same(self, run, whole="whole"):
        for name in ("model.safetensors", "optimizer.safetensors", "config.json"):
            a, b = (self.folder / r / "checkpoints/last" / name for r in (run, whole))
            self.assertEqual(a.read_bytes(), b.read_bytes(), name)
        self.assertEqual(self.metrics(run), self.metrics(whole))
        self.assertEqual(os.readlink(self.folder / run / "checkpoints/best"),
                         os.readlink(self.folder / whole / "checkpoints/best"))

    def temporary(self, run):
        """What is being written, or was left by a killed writer."""
        found = []
        for folder in (self.folder / run, self.folder / run / "checkpoints"):
            if folder.exists():
                found += [name for name in os.listdir(folder) if ".tmp-" in name]
        return found


class Killed(SurvivalTest):
    settings = {"steps": 60, "eval_every": 6, "checkpoint_every": 3, "keep": 2, "log_every": 2, "sample_tokens": 4,
                "sample_every": 12, "threads": 1}

    def setUp(self):
        super().setUp()
        self.write("config.toml", CONFIG.replace("dim = 16", "dim = 64").replace("heads = 2", "heads = 4"))

    def saving(self, run):
        return any(name.startswith(".step-") for name in self.temporary(run))

    def kill_in_save(self, process, run):
        """Stopped first, to be sure that the save hasn't ended before the signal comes."""
        while process.poll() is None:
            if not self.saving(run):
                continue
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if self.saving(run):
                process.kill()
                return
            process.send_signal(signal.SIGCONT)

    def test_kills_at_random_moments(self):
        begin = time.monotonic()
        self.finish("whole", resume=False)
        duration = time.monotonic() - begin
        seed = int(os.environ.get("ECP_SEED", random.SystemRandom().randrange(2**32)))
        chance = random.Random(seed)
        print(f"seed {seed}", flush=True)
        kills = in_saves = lives = fallbacks = 0
        while kills < KILLS:
            lives += 1
            run = f"run{lives}"
            started = False
            while kills < KILLS:
                process = self.start(run, resume=started)
                if 3 * in_saves <= kills:
                    self.kill_in_save(process, run)
                else:
                    time.sleep(chance.uniform(0, duration))
                    process.kill()
                code = process.wait()
                self.assertIn(code, (0, -signal.SIGKILL), f"seed {seed}: {self.said()}")
                fallbacks += "damaged" in self.said()
                started = (self.folder / run / "config.toml").exists()
                if code == 0:
                    break
                kills += 1
                in_saves += self.saving(run)
            self.finish(run, resume=started)
            self.assert_same(run)
            self.assertEqual(self.temporary(run), [])
            shutil.rmtree(self.folder / run)
        print(f"{kills} kills, {in_saves} of them during saves, in {lives} runs; {fallbacks} fell back", flush=True)
        self.assertGreaterEqual(in_saves, KILLS * 3 // 10)


class Interrupted(SurvivalTest):
    settings = {"steps": 3000, "checkpoint_every": 1000, "eval_every": 1000, "log_every": 50}

    def test_a_request_to_stop_saves_and_has_a_code_of_its_own(self):
        self.settings = {**self.settings, "steps": 400, "checkpoint_every": 0, "eval_every": 100}
        self.finish("whole", resume=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            run = f"run{number}"
            process = self.start(run)
            self.wait_for(lambda run=run: (self.folder / run / "metrics.jsonl").exists(), process)
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=60), 3, self.said())
            self.assertIn("stopping with a checkpoint; once more to stop at once", self.said())
            self.assertIn(f"go on with: ecp train --output {run} --resume", self.said())
            self.assertEqual(len(self.steps(run)), 1)
            self.finish(run)
            self.assertIn("resumed    from step", self.said())
            self.assert_same(run)

    def test_the_second_ends_it_at_once(self):
        process = self.start("run")
        self.wait_for(lambda: self.steps("run"), process)
        before = self.steps("run")
        # Stopped, it gets both before it can answer the first.
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        self.assertIn(process.wait(timeout=60), (-signal.SIGINT, -signal.SIGTERM), self.said())
        self.assertEqual(self.steps("run"), before)
        resumed = self.start("run", resume=True)
        self.wait_for(lambda: "resumed    from step" in self.said(), resumed)

    def test_one_process_at_a_time(self):
        process = self.start("run")
        self.wait_for(lambda: (self.folder / "run/metrics.jsonl").exists(), process)
        self.assertIn(f"run folder 'run' is in use by another process (number {process.pid})",
                      self.fails("train", "--output", "run", "--resume"))


class FullDisk(SurvivalTest):
    settings = {"steps": 6000, "eval_every": 0, "checkpoint_every": 25, "log_every": 5, "keep": 1}

    def setUp(self):
        super().setUp()
        self.disk = Path(tempfile.mkdtemp(prefix="ecp-disk-"))
        self.addCleanup(shutil.rmtree, self.disk, True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", self.disk], capture_output=True,
                                 text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small file system here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        self.run_folder = self.disk / "run"

    def fill(self):
        """Takes all the space that is left."""
        with open(self.disk / "filler", "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def intact(self):
        """The newest checkpoint can be used."""
        generated = self.ecp("generate", self.run_folder / "checkpoints/last", "--max-tokens", "4", "--prompt", "one")
        self.assertNotEqual(generated.stdout, "")

    def test_a_run_waits_and_goes_on(self):
        process = self.start(self.run_folder)
        self.wait_for(lambda: self.steps(self.run_folder), process)
        self.fill()
        self.wait_for(lambda: "no space for the checkpoint of step" in self.said(), process)
        self.assertRegex(self.said(), r"about [\d.]+ kB needed, \d+ B free; waiting|about [\d.]+ MB needed, .* free; waiting")
        self.intact()
        before = self.steps(self.run_folder)
        os.remove(self.disk / "filler")
        self.wait_for(lambda: self.steps(self.run_folder) > before, process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 3, self.said())
        self.intact()
        last = self.steps(self.run_folder)[-1]
        lines = [line["step"] for line in self.metrics(self.run_folder) if line["kind"] == "train"]
        self.assertEqual(lines, list(range(5, last + 1, 5)), "no line is lost")

    def test_a_waiting_run_stops_when_told(self):
        process = self.start(self.run_folder)
        self.wait_for(lambda: self.steps(self.run_folder), process)
        self.fill()
        self.wait_for(lambda: "no space for the checkpoint of step" in self.said(), process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 1, self.said())
        self.assertRegex(self.said().splitlines()[-1], r"^ecp: error: stopped after step \d+ without a checkpoint of it: no space")
        self.intact()
        self.assertEqual(self.temporary(self.run_folder), [])
        os.remove(self.disk / "filler")
        resumed = self.start(self.run_folder, resume=True)
        before = self.steps(self.run_folder)
        self.wait_for(lambda: self.steps(self.run_folder) > before, resumed)


class VerifyResume(SurvivalTest):
    def test_proves_it_on_this_configuration(self):
        done = self.ecp("train", "config.toml", "--output", "check", "--verify-resume", "4", "--set",
                        "model.dropout=0.1")
        self.assertRegex(done.stdout, r"weights +\d+ tensors +identical")
        for part in ("optimizer moments", "data position", "training state", "metrics"):
            self.assertRegex(done.stdout, rf"{part} .* identical")
        self.assertRegex(done.stdout, r"stopped after step [1-7] of 8, the run ends bit for bit like the unbroken one")
        self.assertFalse((self.folder / "check").exists())

    def test_by_the_clock_is_said(self):
        done = self.ecp("train", "config.toml", "--output", "check", "--verify-resume", "1", "--set", "train.minutes=1")
        self.assertIn("2 steps are trained instead", done.stderr)

    def test_mistakes(self):
        self.assertIn("--verify-resume", self.fails("train", "config.toml", "--output", "x", "--verify-resume", "0", code=2))
        self.assertIn("--resume", self.fails("train", "config.toml", "--output", "x", "--verify-resume", "1", "--resume", code=2))
        self.write("mine", "text")
        self.assertIn("exists", self.fails("train", "config.toml", "--output", "mine", "--verify-resume", "2"))
        self.assertEqual((self.folder / "mine").read_text(encoding="utf-8"), "text")


if __name__ == "__main__":
    unittest.main()
