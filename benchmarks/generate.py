"""Time and memory per token of a long generation: both must stay what they were at its beginning.

One stream of token ids runs to --tokens. Then it and new streams take turns, so that a noisy machine disturbs both alike.

  python benchmarks/generate.py runs/austen
"""

import argparse
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
WARM_UP = 1_000  # tokens before each timed turn that don't count: caches fill
FIRST = 10_000  # tokens after which the long stream's memory is what it should stay


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint or run folder")
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--tokens", type=int, default=20_000, help="length of the long stream before it is timed")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn", type=int, default=1_000, help="tokens per turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for generate.json and .md")
    return parser.parse_args()


class Stream:
    """A running `ecp generate` whose token ids are read as they come; it is stopped between turns."""

    def __init__(self, args):
        command = [args.binary_dir / "ecp", "generate", args.checkpoint, "--tokens", "1", "--stream", "forever",
                   "--threads", str(args.threads), "--quiet"]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE)

    def read(self, tokens):
        """Tokens per second over at least the next `tokens`."""
        self.process.send_signal(signal.SIGCONT)
        start, seen = time.perf_counter(), 0
        while seen < tokens:
            piece = self.process.stdout.read1(256)
            if not piece:
                sys.exit(f"generate.py: ecp generate ended with code {self.process.wait()}")
            seen += sum(piece.count(mark) for mark in b" \n")
        rate = seen / (time.perf_counter() - start)
        self.process.send_signal(signal.SIGSTOP)
        return rate

    def resident_kilobytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError("no VmRSS")

    def close(self):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()


def measure(args):
    """Resident memory at the long stream's beginning and end, and the two rates of each round."""
    long = Stream(args)
    first = min(FIRST, args.tokens)
    long.read(first)
    begin = long.resident_kilobytes()
    long.read(max(1, args.tokens - first))
    rounds = []
    for _ in range(args.rounds):
        new = Stream(args)
        new.read(WARM_UP)
        fresh = new.read(args.turn)
        new.close()
        long.read(WARM_UP)  # as the other, after a pause
        rounds.append((fresh, long.read(args.turn)))
        print(f"round {len(rounds)}: new {rounds[-1][0]:,.0f}, long {rounds[-1][1]:,.0f} tokens/s", flush=True)
    end = long.resident_kilobytes()
    long.close()
    return begin, end, rounds


def main():
    args = arguments()
    if min(args.tokens, args.rounds, args.turn) < 1:
        sys.exit("generate.py: expected --tokens, --rounds and --turn of at least 1")
    begin, end, rounds = measure(args)
    new, long = ([pair[i] for pair in rounds] for i in (0, 1))
    ratios = [b / a for a, b in rounds]
    result = {
        **common.heading("generate"), "threads": args.threads, "tokens": args.tokens, "turn": args.turn,
        "tokens_per_second": {"new": new, "long": long},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "resident_kb": {"after_first": begin, "first": min(FIRST, args.tokens), "at_the_end": end},
    }
    total = args.tokens + args.rounds * (WARM_UP + args.turn)
    common.write(args.output, result, [
        "# Generation", "",
        f"A stream that has made {args.tokens:,} tokens beside new ones, {args.threads} thread(s), {args.rounds} rounds of "
        f"{args.turn:,} tokens in turn. {result['processor']}, {result['date']}.", "",
        "| | tokens/s, median | resident memory |", "| --- | ---: | ---: |",
        f"| new, after {WARM_UP:,} tokens | {statistics.median(new):,.0f} | |",
        f"| long, after {min(FIRST, args.tokens):,} tokens | | {begin:,} kB |",
        f"| long, after {args.tokens:,} to {total:,} tokens | {statistics.median(long):,.0f} | {end:,} kB |", "",
        f"Speed of the long stream beside the new ones: median {result['ratio']['median']:.2f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f}.", "",
    ])


if __name__ == "__main__":
    main()
