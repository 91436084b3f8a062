"""What the benchmarks share: the machine's description and result files."""

import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def processor():
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    kinds = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(kinds)})"


def heading(benchmark):
    """The first fields of every result."""
    return {"benchmark": benchmark, "date": datetime.date.today().isoformat(), "processor": processor()}


def write(folder, result, lines):
    """`result` as FOLDER/BENCHMARK.json, `lines` as .md beside it and on standard output."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['benchmark']}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{result['benchmark']}.md").write_text("\n".join(lines))
    print("\n".join(lines))


class Worker:
    """A process that measures on request: a line in, a line of JSON out."""

    def __init__(self, name, command):
        self.name = name
        try:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        except OSError as error:
            sys.exit(f"{Path(sys.argv[0]).name}: cannot start {command[0]}: {error.strerror}")

    def ask(self, what, count):
        try:
            self.process.stdin.write(f"{what} {count}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            sys.exit(f"{Path(sys.argv[0]).name}: the worker '{self.name}' ended with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
