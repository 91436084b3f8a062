"""What the benchmarks share: the machine's description and result files."""

import datetime
import json
import math
import platform
import statistics
import subprocess
import sys
import time
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


def log_share(value, low, high):
    """Where a value stands between two others on a logarithmic axis: 0 to 1."""
    return math.log(value / low) / math.log(high / low) if high > low else 0.5


def short(count):
    """2k, 1M: powers of 1024."""
    for unit, name in ((1 << 20, "M"), (1 << 10, "k")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)


def counted(*series):
    """Numbers of the rounds in which no series' answer was disturbed if they are three at least, else of all."""
    rounds = range(len(series[0]))
    quiet = [i for i in rounds if all(of[i]["undisturbed"] for of in series)]
    return quiet if len(quiet) >= 3 else list(rounds)


def ratios(a, b, key):
    """Of answers of two series in the same round, as far as they count."""
    return [a[i][key] / b[i][key] for i in counted(a, b)]


def median_of(answers, key):
    return statistics.median(answers[i][key] for i in counted(answers))


def quiet_rounds(series):
    """For a result: of how many rounds each series' turn was undisturbed."""
    return {name: sum(answer["undisturbed"] for answer in answers) for name, answers in series.items()}


class Machine:
    """Whether others use the cores now, asked of a running `ecp bench`."""

    LONG = 3  # seconds, after which a turn isn't taken again

    def __init__(self, ecp):
        self.ecp = ecp
        self.undisturbed()  # looks for a second the first time

    def undisturbed(self):
        return self.ecp.ask("undisturbed", 1)["undisturbed"]

    def wait(self, seconds=2):
        """Until it is undisturbed, or for so long."""
        end = time.monotonic() + seconds
        while not self.undisturbed():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def ask(self, worker, what, count, tries=3):
        """worker.ask_warm's answer in an undisturbed moment, asked again until it was one to the end; the answer tells
        whether it was."""
        for _ in range(tries):
            before, begin = self.wait(), time.monotonic()
            answer = worker.ask_warm(what, count)
            long = time.monotonic() - begin > self.LONG
            time.sleep(0.01)
            answer["undisturbed"] = before and self.undisturbed()
            if answer["undisturbed"] or long:
                break
        return answer


class Worker:
    """A process that measures on request: a line in, a line of JSON out."""

    def __init__(self, name, command):
        self.name = name
        try:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        except OSError as error:
            sys.exit(f"{Path(sys.argv[0]).name}: cannot start {command[0]}: {error.strerror}")

    def ask_warm(self, what, count):
        """As `ask`, after once that doesn't count: caches, threads and clocks were another process's."""
        time.sleep(0.03)  # the waiting threads of the one asked before spin for a while
        self.ask(what, 1)
        return self.ask(what, count)

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


def ecp_worker(args, name, *options):
    """`ecp bench NAME` of args.binary_dir, with args.threads threads (0: all)."""
    threads = ["--threads", args.threads] if args.threads else []
    return Worker("ecp", [args.binary_dir / "ecp", "bench", name, *options, *threads, "--requests"])
