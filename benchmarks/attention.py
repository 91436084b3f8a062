"""Interval attention beside PyTorch's, and beside this machine's own matrix products, in one interleaved run.

For each case workers take turns: ours (ecp bench attention) and the peers (peers/attention.py); each turn also times the
matrix product 2048 x 768 x 3072 (float32, or bfloat16 with packed weights). Rates count what is visible only. Written:
medians of the rates and of the ratios within a turn, and the memory that each needs beyond its inputs.

  python benchmarks/attention.py --binary-dir build/release --python .venv/bin/python
  python benchmarks/attention.py --sequence 16384 --blocks 128 --widths 128 --peers sdpa,authors --name attention-16384
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
PEERS = {  # label, options, has a backward pass
    "sdpa": ("SDPA over overlapping views", ["--formulation=sdpa"], True),
    "compiled": ("the same, compiled", ["--formulation=sdpa", "--compile"], True),
    "flex": ("FlexAttention, compiled", ["--formulation=flex"], False),
    "local": ("local-attention", ["--formulation=local"], True),
    "authors": ("the authors' formulation", ["--formulation=authors"], True),
}
REPEATS = 4  # of a turn


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the whole PyTorch, for the peers")
    parser.add_argument("--sequence", type=int, default=8192)
    parser.add_argument("--blocks", default="128,256,512")
    parser.add_argument("--widths", default="128,64")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", default="sdpa", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--name", default="attention", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    args.peers = [peer for peer in args.peers.split(",") if peer]
    for peer in args.peers:
        if peer not in PEERS:
            parser.error(f"--peers: expected some of {', '.join(PEERS)}, got '{peer}'")
    if args.rounds < 5:
        parser.error(f"--rounds: expected at least 5, got {args.rounds}")
    return args


def works_of(name):
    return ("forward", "backward") if name == "ecp" or PEERS[name][2] else ("forward",)


def workers(args, dtype, width, block):
    settings = [f"--sequence={args.sequence}", f"--block={block}", f"--heads={args.heads}", f"--width={width}",
                f"--dtype={dtype}"]
    running = {"ecp": common.ecp_worker(args, "attention", *settings)}
    for peer in args.peers:
        running[peer] = common.Worker(peer, [args.python, HERE / "peers" / "attention.py", *PEERS[peer][1], *settings,
                                             f"--threads={args.threads}"])
    return running


def measure(args, dtype, width, block):
    running = workers(args, dtype, width, block)
    for name, worker in running.items():
        for what in works_of(name):
            worker.ask(what, 1)
    running["ecp"].ask("ceiling", 3)
    rates = {what: {name: [] for name in running if what in works_of(name)} for what in ("forward", "backward")}
    machine = common.Machine(running["ecp"])
    memory, product = {}, []
    for _ in range(args.rounds):
        product.append(machine.ask(running["ecp"], "ceiling", 5))
        for what, of in rates.items():
            for name in of:
                answer = machine.ask(running[name], what, 1 if name == "authors" else REPEATS)
                of[name].append(answer)
                memory[name] = answer["memory"]
    for worker in running.values():
        worker.close()
    result = {"dtype": dtype, "width": width, "block": block, "product": common.median_of(product, "rate"), "memory": memory,
              "results": 4 * args.sequence * args.heads * width * (4 if dtype == "float32" else 2)}
    for what, of in rates.items():
        result[what] = {name: {"rate": common.median_of(answers, "rate"),
                               "of_product": statistics.median(common.ratios(answers, product, "rate")),
                               "ecp_is_faster_by": statistics.median(common.ratios(of["ecp"], answers, "rate")),
                               "all": [answer["rate"] for answer in answers]} for name, answers in of.items()}
        result[what + "_undisturbed"] = common.quiet_rounds(of)
    both = {name: [{"rate": 1 / (4 / f["rate"] + 10 / b["rate"]), "undisturbed": f["undisturbed"] and b["undisturbed"]}
                   for f, b in zip(rates["forward"][name], rates["backward"][name])] for name in rates["backward"]}
    result["both"] = {name: {"ecp_is_faster_by": statistics.median(common.ratios(both["ecp"], answers, "rate"))}
                      for name, answers in both.items()}
    return result


def lines_of(case):
    """A line of the table for each of the case's programs."""
    for name in ("ecp", *(peer for peer in PEERS if peer in case["forward"])):
        cells = [case["dtype"], case["width"], case["block"], f"{case['product'] / 1e9:.0f}",
                 "ecp" if name == "ecp" else PEERS[name][0]]
        for what in ("forward", "backward"):
            of = case[what].get(name)
            faster = "" if name == "ecp" or not of else f"{of['ecp_is_faster_by']:.1f}"
            cells += [f"{of['rate'] / 1e9:.0f}", f"{of['of_product']:.2f}", faster] if of else ["", "", ""]
        of = case["both"].get(name)
        cells += ["" if name == "ecp" or not of else f"{of['ecp_is_faster_by']:.1f}", f"{case['memory'][name] / 1e6:.0f}",
                  f"{(case['memory'][name] - case['results']) / 1e6:.0f}" if of else ""]
        yield "| " + " | ".join(map(str, cells)) + " |"


def main():
    args = arguments()
    cases = []
    for dtype in args.dtypes.split(","):
        for width in map(int, args.widths.split(",")):
            for block in map(int, args.blocks.split(",")):
                cases.append(measure(args, dtype, width, block))
                print("\n".join(lines_of(cases[-1])), flush=True)
    result = {**common.heading(args.name), "sequence": args.sequence, "heads": args.heads, "rounds": args.rounds,
              "cases": cases}
    lines = [
        "# Interval attention", "",
        f"ECP, sequence {args.sequence}, {args.heads} heads, token-major. {result['processor']}, {result['date']}. "
        f"{args.rounds} rounds in turn, medians of those undisturbed by others on the same cores if they are three at least; "
        "GFLOP/s of visible entries; the product is 2048 x 768 x 3072 in the same type; memory: at the peak, beyond the inputs, and beyond result and "
        "gradients as well.", "",
        "| dtype | d_h | block | product | | forward | of product | ecp is faster by | backward | of product | ecp is faster by | "
        "both: by | memory, MB | beyond results |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(line for case in cases for line in lines_of(case)), "",
    ]
    common.write(args.output, result, lines)


if __name__ == "__main__":
    main()
