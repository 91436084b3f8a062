"""Time and memory per token of a long generation: both must stay what they were at the beginning.

Streams token ids from a checkpoint and notes time and resident memory after every thousand.

  python benchmarks/generate.py runs/austen
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint or run folder")
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1_000, help="tokens between two notes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for generate.json and .md")
    return parser.parse_args()


def resident_kilobytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def measure(args):
    """(seconds, resident kB) after each `every` tokens, the first of them when the first token came."""
    command = [args.binary_dir / "ecp", "generate", args.checkpoint, "--tokens", "1", "--stream", "forever", "--threads",
               str(args.threads), "--quiet"]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE)
    notes, seen = [], 0
    while seen <= args.tokens:
        piece = process.stdout.read1(256)
        if not piece:
            sys.exit(f"generate.py: ecp generate ended after {seen} tokens with code {process.wait()}")
        before, seen = seen, seen + sum(piece.count(mark) for mark in b" \n")
        if before == 0 or before // args.every != seen // args.every:
            notes.append({"tokens": seen, "seconds": time.perf_counter(), "resident_kb": resident_kilobytes(process.pid)})
    process.terminate()
    process.stdout.close()
    process.wait()
    start = notes[0]["seconds"]
    return [{**note, "seconds": note["seconds"] - start} for note in notes]


def main():
    args = arguments()
    if args.every < 1 or args.tokens < 8 * args.every:
        sys.exit(f"generate.py: --tokens: expected at least eight times --every ({8 * args.every}), got {args.tokens}")
    notes = measure(args)
    rates = [(b["tokens"] - a["tokens"]) / (b["seconds"] - a["seconds"]) for a, b in zip(notes, notes[1:])]
    quarter = len(rates) // 4
    first, last = statistics.median(rates[:quarter]), statistics.median(rates[-quarter:])
    result = {
        **common.heading("generate"), "threads": args.threads, "tokens": notes[-1]["tokens"],
        "tokens_per_second": {"median": statistics.median(rates), "first_quarter": first, "last_quarter": last,
                              "all": rates},
        "resident_kb": [note["resident_kb"] for note in notes],
    }
    resident = result["resident_kb"]
    common.write(args.output, result, [
        "# Generation", "",
        f"{notes[-1]['tokens']:,} tokens streamed on {args.threads} thread(s). {result['processor']}, {result['date']}.", "",
        "| | first quarter | last quarter |", "| --- | ---: | ---: |",
        f"| tokens/s, median of thousands | {first:,.0f} | {last:,.0f} |",
        f"| resident memory, kB, most | {max(resident[:quarter]):,} | {max(resident[-quarter:]):,} |", "",
    ])


if __name__ == "__main__":
    main()
