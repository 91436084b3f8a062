"""All commands of `ecp` and their options, as --help tells them."""

import functools
import re
import subprocess

from support import BINARY

TORCH = (BINARY / "ecp-torch").exists()


def help_of(path):
    return subprocess.run([BINARY / "ecp", *path.split(), "--help"], capture_output=True, text=True, check=False)


@functools.cache
def commands():
    """{"data stats": ["-h", "--help", "--top", ...]}; "" is the program. Those of `ecp-torch` where it was built."""
    found, waiting = {}, [""]
    while waiting:
        path = waiting.pop()
        answer = help_of(path)
        if answer.returncode != 0:
            assert "needs LibTorch" in answer.stderr, answer.stderr
            continue
        text = re.sub(r"^Examples?:$.*", "", answer.stdout, flags=re.M | re.S)
        found[path] = [name for line in re.findall(r"^  (-\S+)", text, re.M) for name in line.split(",")]
        below = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
        for name in re.findall(r"^  (\w[\w-]*)", below[1], re.M) if below else ():
            waiting.append(f"{path} {name}".strip())
    return found
