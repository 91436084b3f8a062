"""Generation, one token after the other, with weights in float32, bfloat16 and int8.

A token reads every weight once, so that reading memory is the bound. For each type a worker (bench_decode, random
weights) takes turns: so much memory read, then tokens generated. With --position, two more: one stream stays near its
beginning, the other goes on from that many tokens, which a prefill has read.

  python benchmarks/decode.py --binary-dir build/release
  python benchmarks/decode.py --set model.dim=256 --set model.layers=6 --position 1000000
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
TYPES = ("float32", "bfloat16", "int8")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of the model")
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=20, help="per turn")
    parser.add_argument("--position", type=int, default=0, help="compare a stream's beginning with this place in it")
    parser.add_argument("--name", default="decode", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error(f"--rounds: expected at least 5, got {args.rounds}")
    return args


def worker(args, kind):
    return common.Worker(kind, [args.binary_dir / "bench_decode", kind, f"train.threads={args.threads}", *args.set])


def measure_types(args):
    running = {kind: worker(args, kind) for kind in TYPES}
    for one in running.values():
        one.ask("read", 2)
        one.ask("tokens", 5)
    turns = {kind: [] for kind in TYPES}
    for turn in range(args.rounds):
        for kind, one in running.items():
            read = one.ask("read", 5)
            tokens = one.ask("tokens", args.tokens)
            turns[kind].append({"seconds": tokens["seconds"], "bytes": tokens["bytes_per_token"],
                                "bytes_per_second": read["bytes_per_second"]})
        print(f"round {turn + 1}: " + ", ".join(f"{kind} {1 / answers[-1]['seconds']:.1f} tokens/s at "
                                                 f"{answers[-1]['bytes_per_second'] / 1e9:.1f} GB/s"
                                                 for kind, answers in turns.items()), flush=True)
    for one in running.values():
        one.close()
    return turns


def measure_position(args):
    """Seconds per token at a stream's beginning and at --position, in turns."""
    near, far = worker(args, "bfloat16"), worker(args, "bfloat16")
    near.ask("prefill", 1000)
    left = args.position
    while left > 0:
        count = min(left, 10_000)
        answer = far.ask("prefill", count)
        left -= count
        print(f"\rprefill: {answer['position']:,} of {args.position:,} tokens", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    turns = {"1000": [], str(args.position): []}
    for one in (near, far):
        one.ask("tokens", 5)
    for _ in range(args.rounds):
        turns["1000"].append(near.ask("tokens", args.tokens)["seconds"])
        turns[str(args.position)].append(far.ask("tokens", args.tokens)["seconds"])
    for one in (near, far):
        one.close()
    return turns


def main():
    args = arguments()
    turns = measure_types(args)
    result = {**common.heading(args.name), "settings": args.set, "threads": args.threads, "rounds": args.rounds, "types": {}}
    lines = [f"# Generation, a token at a time", "",
             f"{' '.join(args.set) or 'Preset paper, 12 layers of width 768, vocabulary 28,996'}; random weights. "
             f"{result['processor']}, {result['date']}. {args.rounds} turns of {args.tokens} tokens, medians.", "",
             "| weights | MB read per token | tokens/s | memory read, GB/s | of that bound |",
             "| --- | ---: | ---: | ---: | ---: |"]
    for kind, answers in turns.items():
        seconds = statistics.median(a["seconds"] for a in answers)
        share = statistics.median(a["bytes"] / a["bytes_per_second"] / a["seconds"] for a in answers)
        rate = statistics.median(a["bytes_per_second"] for a in answers)
        result["types"][kind] = {"bytes_per_token": answers[0]["bytes"], "seconds_per_token": seconds,
                                 "bytes_per_second": rate, "of_bound": share, "all": answers}
        lines.append(f"| {kind} | {answers[0]['bytes'] / 1e6:.0f} | {1 / seconds:.1f} | {rate / 1e9:.1f} | {share:.2f} |")
    faster = statistics.median(a["seconds"] / b["seconds"] for a, b in zip(turns["bfloat16"], turns["int8"]))
    result["int8_over_bfloat16"] = faster
    lines += ["", f"int8 is {faster:.2f} times as fast as bfloat16."]
    if args.position > 0:
        result["position"] = measure_position(args)
        near, far = result["position"].values()
        ratio = statistics.median(b / a for a, b in zip(near, far))
        result["position_ratio"] = ratio
        lines += ["", f"A token at position {args.position:,} takes {ratio:.3f} of the time of one at 1,000."]
    common.write(args.output, result, [*lines, ""])


if __name__ == "__main__":
    main()
