"""Interval attention beside PyTorch's, and beside this machine's own matrix products, in one interleaved run.

For each case two workers, ours (bench_attention) and peers/attention.py, take turns; each turn also times the matrix
product 2048 x 768 x 3072 (float32, or bfloat16 with packed weights). Rates count what is visible only. Written: medians
of the rates, and of the ratios within a turn.

  python benchmarks/attention.py --binary-dir build/release --python .venv/bin/python
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
BOTH = ("forward", "backward")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the whole PyTorch, for the peer")
    parser.add_argument("--sequence", type=int, default=8192)
    parser.add_argument("--blocks", default="128,256,512")
    parser.add_argument("--widths", default="128,64")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--formulation", choices=("sdpa", "authors"), default="sdpa", help="of the peer")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for attention.json and .md")
    return parser.parse_args()


def measure(args, dtype, width, block):
    settings = {"sequence": args.sequence, "block": block, "heads": args.heads, "width": width, "dtype": dtype,
                "threads": args.threads}
    ours = common.Worker("ecp", [args.binary_dir / "bench_attention", *(f"{k}={v}" for k, v in settings.items())])
    peer = common.Worker("PyTorch", [args.python, HERE / "peers" / "attention.py", "--formulation", args.formulation,
                                     *(f"--{k}={v}" for k, v in settings.items())])
    for what in BOTH:
        ours.ask(what, 1)
        peer.ask(what, 1)
    ours.ask("gemm", 3)
    rows = {key: [] for key in ("gemm", *(f"{name} {what}" for name in ("ours", "peer") for what in BOTH))}
    memory = {}
    for _ in range(args.rounds):
        rows["gemm"].append(ours.ask("gemm", 5)["gflops"])
        for what in BOTH:
            for name, worker in (("ours", ours), ("peer", peer)):
                answer = worker.ask(what, 2)
                rows[f"{name} {what}"].append(answer["gflops"])
                memory[name] = answer["peak_memory"]
    ours.close()
    peer.close()
    result = {"dtype": dtype, "width": width, "block": block, "gflops": rows, "peak_memory_of_process": memory,
              "gemm": statistics.median(rows["gemm"])}
    for what in BOTH:
        mine, theirs = rows[f"ours {what}"], rows[f"peer {what}"]
        result[what] = {"gflops": statistics.median(mine),
                        "of_gemm": statistics.median(a / b for a, b in zip(mine, rows["gemm"])),
                        "peer_gflops": statistics.median(theirs),
                        "ratio": statistics.median(a / b for a, b in zip(mine, theirs))}
    return result


def line(case):
    cells = [case["dtype"], case["width"], case["block"], f"{case['gemm']:.0f}"]
    for what in BOTH:
        of = case[what]
        cells += [f"{of['gflops']:.0f}", f"{of['of_gemm']:.2f}", f"{of['peer_gflops']:.0f}", f"{of['ratio']:.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    args = arguments()
    if args.rounds < 5:
        sys.exit(f"attention.py: --rounds: expected at least 5, got {args.rounds}")
    cases = []
    for dtype in args.dtypes.split(","):
        for width in map(int, args.widths.split(",")):
            for block in map(int, args.blocks.split(",")):
                cases.append(measure(args, dtype, width, block))
                print(line(cases[-1]), flush=True)
    result = {**common.heading("attention"), "sequence": args.sequence, "heads": args.heads, "rounds": args.rounds,
              "peer": args.formulation, "cases": cases}
    lines = [
        "# Interval attention", "",
        f"ECP, sequence {args.sequence}, {args.heads} heads, token-major. {result['processor']}, {result['date']}. "
        f"{args.rounds} rounds in turn; GFLOP/s of visible entries, medians; the matrix product is 2048 x 768 x 3072; the peer "
        f"is PyTorch's {'scaled_dot_product_attention over overlapping views' if args.formulation == 'sdpa' else 'einsum'}.", "",
        "| dtype | d_h | block | product | forward | of product | peer | ratio | backward | of product | peer | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(line, cases), "",
    ]
    common.write(args.output, result, lines)


if __name__ == "__main__":
    main()
