"""ecp doctor from the command line."""

import json
import os
import shutil
import stat
import subprocess
import unittest

from support import BINARY, CommandTest


class Doctor(CommandTest):
    def ids(self, done):
        return [finding["id"] for finding in json.loads(done.stdout)["findings"]]

    def test_quick(self):
        done = self.ecp("doctor", "--quick")
        for name in ("program", "libraries", "processor", "instructions", "CPUs", "memory", "folder"):
            self.assertRegex(done.stdout, rf"(?m)^{name} +\S")
        self.assertNotIn("GFLOP/s", done.stdout)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_json(self):
        report = json.loads(self.ecp("doctor", "--quick", "--json").stdout)
        self.assertEqual((report["format"], report["version"]), ("ecp-doctor", 1))
        self.assertRegex(report["program"]["version"], r"^\d+\.\d+\.\d+$")
        for library in ("onednn", "sentencepiece", "highway"):
            self.assertRegex(report["libraries"][library], r"^\d+\.\d+")
        processor = report["processor"]
        self.assertEqual(processor["cpus_available"], len(os.sched_getaffinity(0)))
        self.assertIn(processor["kernels"], ["baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"])
        self.assertGreater(report["memory"]["total"], report["memory"]["free"])
        self.assertEqual(report["folder"]["path"], ".")
        self.assertTrue(report["folder"]["writable"])
        self.assertIsNone(report["rates"])
        self.assertEqual(report["training_tokens_per_second"], {"float32": None, "bfloat16": None})
        for finding in report["findings"]:
            self.assertEqual(set(finding), {"level", "id", "what", "advice"})
            self.assertIn(finding["level"], ("warning", "note"))

    def test_measures(self):
        report = json.loads(self.ecp("doctor", "--json", "--threads", "1").stdout)
        rates = report["rates"]
        self.assertEqual(rates["threads"], 1)
        for name in ("gemm_float32_flops", "memory_read_bytes_per_second"):
            self.assertGreater(rates[name]["one_thread"], 0)
            self.assertGreater(rates[name]["all_threads"], 0)
        ids = [finding["id"] for finding in report["findings"]]
        if "no-libtorch" not in ids and "step-failed" not in ids:
            self.assertGreater(report["training_tokens_per_second"]["float32"], 0)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_the_processor_is_what_the_environment_says(self):
        done = self.ecp("doctor", "--quick", "--json", env={**os.environ, "ECP_CPU_ISA": "baseline"})
        self.assertEqual(json.loads(done.stdout)["processor"]["kernels"], "baseline")
        if json.loads(done.stdout)["processor"]["instruction_sets"]:
            self.assertIn("forced-isa", self.ids(done))
        done = self.ecp("doctor", "--quick", "--json", env={**os.environ, "OMP_NUM_THREADS": "5000"})
        self.assertIn("omp-threads", self.ids(done))

    def beside(self, script):
        """What an `ecp` says of the libraries that has this script for an ecp-torch, or none."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        shutil.copy(BINARY / "ecp", programs / "ecp")
        if script is not None:
            (programs / "ecp-torch").write_text("#!/bin/sh\n" + script, encoding="utf-8")
            (programs / "ecp-torch").chmod(stat.S_IRWXU)

        done = subprocess.run([programs / "ecp", "doctor", "--quick", "--json"], cwd=self.folder, capture_output=True,
                              text=True, timeout=60, check=True)
        return json.loads(done.stdout)["libraries"]

    def test_without_or_with_a_broken_ecp_torch(self):
        libraries = self.beside(None)
        self.assertIsNone(libraries["libtorch"])
        self.assertIn("ecp-torch' is missing", libraries["libtorch_error"])
        self.assertIn("ended with code 3: broken", self.beside("echo broken >&2; echo more >&2; exit 3")["libtorch_error"])
        self.assertIn("ended with code 137", self.beside("kill -KILL $$")["libtorch_error"])
        self.assertIn("is of another version", self.beside("echo '{}'")["libtorch_error"])
        self.assertIn("is of another version", self.beside("echo nonsense")["libtorch_error"])
        answer = '{"libtorch": "9.9", "capability": "AVX512"}'
        libraries = self.beside(f"echo '{answer}'")
        self.assertEqual((libraries["libtorch"], libraries["libtorch_error"]), ("9.9", None))

    def test_mistakes(self):
        self.assertIn("(did you mean '--quick'?)", self.fails("doctor", "--quikc", code=2))
        self.assertIn("--threads", self.fails("doctor", "--threads", "-1", code=2))
        self.assertIn("--threads", self.fails("doctor", "--threads", "many", code=2))
        self.assertEqual(self.fails("doctor", "--folder", "missing"),
                         "ecp: error: --folder: expected a folder, got 'missing'")


if __name__ == "__main__":
    unittest.main()
