"""Reads ctest's JUnit file and prints what failed, what was skipped and why, and one last line that counts.

A Python test script is one test to ctest; here each of its test methods counts. Ends with 1 if anything failed or
if there was nothing to run.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter

# Methods of one unittest script, as `-v` reports them.
RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
SKIPPED_METHOD = re.compile(r"\.\.\. skipped '(.*)'$|\.\.\. skipped \"(.*)\"$", re.M)
FAILED_METHODS = re.compile(r"^FAILED \((.*)\)$", re.M)


def skip_reason(output):
    """Why a GoogleTest case or a whole script skipped itself."""
    google = re.search(r": Skipped\n(.+)", output)
    if google:
        return google.group(1).strip()
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def count(case):
    """(passed, failed, reasons of the skipped) of one of ctest's tests."""
    output = case.findtext("system-out") or ""
    ran = RAN.search(output)
    if ran:
        reasons = [a or b for a, b in SKIPPED_METHOD.findall(output)]
        failed = FAILED_METHODS.search(output)
        failures = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", failed.group(1))) if failed else 0
        if case.find("failure") is not None:
            failures = max(failures, 1)
        return max(0, int(ran.group(1)) - failures - len(reasons)), failures, reasons
    if case.find("failure") is not None or case.get("status") == "fail":
        return 0, 1, []
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return 0, 0, [skip_reason(output)]
    return 1, 0, []


def main(path):
    passed = failed = 0
    reasons = Counter()
    failures = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        good, bad, skipped = count(case)
        passed += good
        failed += bad
        reasons.update(skipped)
        if bad:
            failures.append(case.get("name"))
    if failures:
        print("Failed:")
        for name in failures:
            print(f"  {name}")
    if reasons:
        print("Skipped:")
        for reason, times in reasons.most_common():
            print(f"  {times} x {reason}")
    print(f"{passed} passed, {failed} failed, {sum(reasons.values())} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
