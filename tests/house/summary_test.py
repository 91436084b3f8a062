"""tests/summary.py, on which the last line of scripts/test rests."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SUMMARY = Path(os.environ["ECP_SOURCE_DIR"]) / "tests" / "summary.py"


def case(name, status="run", body="", output=""):
    return f'<testcase name="{name}" classname="{name}" status="{status}">{body}<system-out>{output}</system-out></testcase>'


class Summary(unittest.TestCase):
    def summarize(self, *cases):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tests.xml"
            path.write_text(f'<?xml version="1.0"?><testsuite>{"".join(cases)}</testsuite>', encoding="utf-8")
            return subprocess.run([sys.executable, SUMMARY, path], capture_output=True, text=True, check=False)

    def test_everything_passed(self):
        result = self.summarize(case("a"), case("b"))
        self.assertEqual((result.returncode, result.stdout), (0, "2 passed, 0 failed, 0 skipped\n"))

    def test_failures_are_named_and_fail(self):
        result = self.summarize(case("a"), case("b", "fail", '<failure message="x"/>'))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "Failed:\n  b\n1 passed, 1 failed, 0 skipped\n")

    def test_skipped_tests_give_their_reason(self):
        google = "[ RUN ] x\ntests/a.cpp:5: Skipped\nno shared data\n\n[  SKIPPED ] x (0 ms)"
        result = self.summarize(case("a"), case("b", "notrun", '<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>', google),
                                case("c", "notrun", '<skipped message="SKIP_RETURN_CODE=77"/>', "needs the whole PyTorch\n"))
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "Skipped:\n  1 x no shared data\n  1 x needs the whole PyTorch\n"
                                        "1 passed, 0 failed, 2 skipped\n")

    def test_methods_of_python_scripts_count_singly(self):
        output = ("test_a (__main__.T.test_a) ... ok\ntest_b (__main__.T.test_b) ... skipped 'no PyTorch'\n"
                  "test_c (__main__.T.test_c) ... ok\n\nRan 3 tests in 0.1s\n\nOK (skipped=1)\n")
        result = self.summarize(case("script", output=output))
        self.assertEqual(result.stdout, "Skipped:\n  1 x no PyTorch\n2 passed, 0 failed, 1 skipped\n")
        output = output.replace("OK (skipped=1)", "FAILED (failures=1, errors=1, skipped=1)")
        result = self.summarize(case("script", "fail", '<failure message=""/>', output))
        self.assertEqual((result.returncode, result.stdout.splitlines()[-1]), (1, "0 passed, 2 failed, 1 skipped"))

    def test_a_script_that_dies_after_its_tests_fails(self):
        result = self.summarize(case("script", "fail", '<failure message=""/>', "Ran 3 tests in 0.1s\n\nOK\n"))
        self.assertEqual((result.returncode, result.stdout.splitlines()[-1]), (1, "2 passed, 1 failed, 0 skipped"))

    def test_nothing_at_all_is_a_failure(self):
        self.assertEqual(self.summarize().returncode, 1)


if __name__ == "__main__":
    unittest.main()
