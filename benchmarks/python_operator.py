"""The Python package's operator beside what PyTorch has for the same attention, in one interleaved run.

For each case workers (peers/attention.py) take turns: ecp.interval_attention, scaled_dot_product_attention over overlapping
views, FlexAttention (forward only) and local-attention. Written: medians of the times and of the ratios within a turn.

  scripts/bench python_operator
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
PROGRAMS = {  # label, formulation, has a backward pass
    "ecp": ("ecp.interval_attention", "operator", True),
    "sdpa": ("SDPA over overlapping views", "sdpa", True),
    "flex": ("FlexAttention, compiled", "flex", False),
    "local": ("local-attention", "local", True),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch, ecp and local-attention")
    parser.add_argument("--sequence", type=int, default=8192)
    parser.add_argument("--blocks", default="128,256,512")
    parser.add_argument("--widths", default="128,64")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=4, help="of a turn")
    parser.add_argument("--name", default="python-operator", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error(f"--rounds: expected at least 5, got {args.rounds}")
    return args


def works_of(name):
    return ("forward", "backward") if PROGRAMS[name][2] else ("forward",)


def measure(args, dtype, width, block):
    settings = [f"--sequence={args.sequence}", f"--block={block}", f"--heads={args.heads}", f"--width={width}", f"--dtype={dtype}",
                f"--threads={args.threads}"]
    running = {name: common.Worker(name, [args.python, HERE / "peers" / "attention.py", f"--formulation={formulation}", *settings])
               for name, (_, formulation, _) in PROGRAMS.items()}
    for name, worker in running.items():
        for what in works_of(name):
            worker.ask(what, 1)
    seconds = {what: {name: [] for name in running if what in works_of(name)} for what in ("forward", "backward")}
    memory = {}
    for _ in range(args.rounds):
        for what, of in seconds.items():
            for name in of:
                answer = running[name].ask_warm(what, args.repeats)
                of[name].append(answer["seconds"])
                memory[name] = answer["memory"]
    for worker in running.values():
        worker.close()
    both = {name: [f + b for f, b in zip(seconds["forward"][name], seconds["backward"][name])] for name in seconds["backward"]}
    result = {"dtype": dtype, "width": width, "block": block, "memory": memory}
    for what, of in (*seconds.items(), ("both", both)):
        result[what] = {name: {"seconds": statistics.median(values),
                               "ecp_is_faster_by": statistics.median(b / a for a, b in zip(of["ecp"], values)), "all": values}
                        for name, values in of.items()}
    return result


def lines_of(case):
    """A line of the table for each of the case's programs."""
    for name, (label, _, _) in PROGRAMS.items():
        cells = [case["dtype"], case["width"], case["block"], label]
        for what in ("forward", "backward", "both"):
            of = case[what].get(name)
            cells += [f"{1000 * of['seconds']:.1f}", "" if name == "ecp" else f"{of['ecp_is_faster_by']:.1f}"] if of else ["", ""]
        yield "| " + " | ".join(map(str, [*cells, f"{case['memory'][name] / 1e6:.0f}"])) + " |"


def main():
    args = arguments()
    cases = []
    for dtype in args.dtypes.split(","):
        for width in map(int, args.widths.split(",")):
            for block in map(int, args.blocks.split(",")):
                cases.append(measure(args, dtype, width, block))
                print("\n".join(lines_of(cases[-1])), flush=True)
    result = {**common.heading(args.name), "sequence": args.sequence, "heads": args.heads, "rounds": args.rounds, "cases": cases}
    lines = [
        "# Interval attention in Python", "",
        f"ECP, sequence {args.sequence}, {args.heads} heads, token-major. {result['processor']}, {result['date']}. "
        f"{args.rounds} rounds in turn; medians of milliseconds, and of the ratios within a turn; memory: at the peak, beyond the inputs.", "",
        "| dtype | d_h | block | | forward, ms | ecp is faster by | backward, ms | by | both, ms | by | memory, MB |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(line for case in cases for line in lines_of(case)), "",
    ]
    common.write(args.output, result, lines)


if __name__ == "__main__":
    main()
