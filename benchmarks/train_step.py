"""Training-step speed beside the authors' formulation, in one interleaved run.

Two workers, ours (bench_train_step) and the peer (peers/authors.py), take turns: A B A B ... Each turn times whole steps:
forward, backward, clipping, AdamW. Printed and written: medians and the median of the ratios of neighbouring turns.

  python benchmarks/train_step.py --binary-dir build/release --python .venv/bin/python
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the whole PyTorch, for the peer")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--sequence", type=int, default=1024)
    parser.add_argument("--block", type=int, default=128)
    parser.add_argument("--vocab", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps per turn")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for train_step.json and .md")
    return parser.parse_args()


def workers(args):
    sizes = ("vocab", "dim", "layers", "heads", "sequence", "block")
    ours = [args.binary_dir / "bench_train_step", *(f"model.{name}={getattr(args, name)}" for name in sizes),
            f"train.batch={args.batch}", f"train.threads={args.threads}"]
    peer = [args.python, HERE / "peers" / "authors.py", *(f"--{name}={getattr(args, name)}" for name in sizes),
            f"--batch={args.batch}", f"--threads={args.threads}"]
    return common.Worker("ecp", ours), common.Worker("authors' formulation", peer)


def rate(worker, steps):
    answer = worker.ask("steps", steps)
    return answer["tokens"] / answer["seconds"]


def measure(args):
    pair = workers(args)
    for worker in pair:
        rate(worker, 2)  # first steps allocate and choose kernels
    rates = {worker.name: [] for worker in pair}
    for turn in range(args.rounds):
        for worker in pair:
            rates[worker.name].append(rate(worker, args.steps))
        print(f"round {turn + 1}: " + ", ".join(f"{name} {values[-1]:,.0f}" for name, values in rates.items()) +
              " tokens/s", flush=True)
    for worker in pair:
        worker.close()
    return rates


def report(args, rates):
    (name, ours), (peer_name, peer) = rates.items()
    ratios = [a / b for a, b in zip(ours, peer)]
    result = {
        **common.heading("train_step"),
        "dtype": "float32", "preset": "paper", "dropout": 0,
        "sizes": {key: getattr(args, key) for key in
                  ("vocab", "dim", "layers", "heads", "sequence", "block", "batch", "threads")},
        "rounds": args.rounds, "steps_per_turn": args.steps,
        "tokens_per_second": {key: {"median": statistics.median(values), "all": values} for key, values in rates.items()},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
    }
    sizes = ", ".join(f"{key} {value}" for key, value in result["sizes"].items() if key != "threads")
    lines = [
        "# Training step, float32", "",
        f"Preset paper without dropout: {sizes}. {result['processor']}, {result['date']}. {args.rounds} rounds of "
        f"{args.steps} steps in turn.", "",
        "| | tokens/s, median | least | most |", "| --- | ---: | ---: | ---: |",
        *(f"| {key} | {statistics.median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f} |"
          for key, values in rates.items()), "",
        f"Ratio of neighbouring turns: median {result['ratio']['median']:.2f}, {min(ratios):.2f} to {max(ratios):.2f}.",
        "",
    ]
    common.write(args.output, result, lines)


def main():
    args = arguments()
    if args.rounds < 5:
        sys.exit(f"train_step.py: --rounds: expected at least 5, got {args.rounds}")
    report(args, measure(args))


if __name__ == "__main__":
    main()
