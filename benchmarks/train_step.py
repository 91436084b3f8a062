"""Training-step speed beside PyTorch, in one interleaved run.

Workers take turns: ours (ecp bench train), the authors' formulation in float32 and PyTorch's best
(peers/train_step.py), that as it is and compiled. Each turn times whole steps: forward, backward, clipping, AdamW; ours
also the machine's own matrix products. Printed and written: medians and the median of the ratios of neighbouring turns.

  python benchmarks/train_step.py --binary-dir build/release --python .venv/bin/python
  python benchmarks/train_step.py --dim 768 --layers 12 --heads 6 --sequence 2048 --block 256 --vocab 28996 --batch 1
"""

import argparse
import statistics
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
SIZES = {"vocab": 256, "dim": 256, "layers": 6, "heads": 4, "sequence": 1024, "block": 128, "batch": 4}
PEERS = {
    "authors": ("authors' formulation, float32", ["--formulation", "authors"]),
    "sdpa": ("PyTorch", ["--formulation", "sdpa"]),
    "compiled": ("PyTorch, compiled", ["--formulation", "sdpa", "--compile"]),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the whole PyTorch, for the peers")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="not the authors'")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of ecp's model")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps per turn")
    parser.add_argument("--tries", type=int, default=3, help="of a turn until it is undisturbed")
    parser.add_argument("--name", default="train_step", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    for peer in args.peers.split(","):
        if peer not in PEERS:
            parser.error(f"--peers: expected some of {', '.join(PEERS)}, got '{peer}'")
    return args


def workers(args):
    sizes = [name for name in SIZES if name != "batch"]
    settings = [*(f"model.{name}={getattr(args, name)}" for name in sizes), f"train.batch={args.batch}",
                f"train.dtype={args.dtype}", *args.set]
    all_workers = {"ecp": common.ecp_worker(args, "train", *(f"--set={setting}" for setting in settings))}
    for peer in args.peers.split(","):
        name, options = PEERS[peer]
        if peer != "authors":
            options = [*options, "--dtype", args.dtype]
        command = [args.python, HERE / "peers" / "train_step.py", *options, f"--batch={args.batch}",
                   f"--threads={args.threads}", *(f"--{key}={getattr(args, key)}" for key in sizes)]
        all_workers[peer] = common.Worker(name, command)
    return all_workers


def measure(args):
    """name -> answers of its turns, and rates of matrix products."""
    running = workers(args)
    for worker in running.values():
        worker.ask("step", 2)  # first steps allocate, compile and choose kernels
    running["ecp"].ask("ceiling", 3)
    machine = common.Machine(running["ecp"])
    turns, products = {name: [] for name in running}, []
    for turn in range(args.rounds):
        products.append(machine.ask(running["ecp"], "ceiling", 5))
        for name, worker in running.items():
            turns[name].append(machine.ask(worker, "step", args.steps, args.tries))
        rates = ", ".join(f"{name} {answers[-1]['tokens_per_second']:,.0f}" for name, answers in turns.items())
        print(f"round {turn + 1}: {rates} tokens/s; products {products[-1]['rate'] / 1e9:,.0f} GFLOP/s", flush=True)
    for worker in running.values():
        worker.close()
    return turns, products


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def report(args, turns, products):
    rates = {name: [answers[i]["tokens_per_second"] for i in common.counted(answers)] for name, answers in turns.items()}
    result = {
        **common.heading(args.name),
        "dtype": args.dtype, "preset": "paper", "dropout": 0,
        "sizes": {key: getattr(args, key) for key in (*SIZES, "threads")},
        "rounds": args.rounds, "steps_per_turn": args.steps,
        "undisturbed": common.quiet_rounds(turns),
        "tokens_per_second": {name: {**spread(values), "all": [answer["tokens_per_second"] for answer in turns[name]]}
                              for name, values in rates.items()},
        "ratio": {name: spread(common.ratios(turns["ecp"], answers, "tokens_per_second"))
                  for name, answers in turns.items() if name != "ecp"},
        "products": spread([products[i]["rate"] for i in common.counted(products)]),
        "of_products": spread(common.ratios(turns["ecp"], products, "rate")),
        "peak_memory": {name: max(answer["peak_memory"] for answer in answers) for name, answers in turns.items()},
    }
    sizes = ", ".join(f"{key} {value}" for key, value in result["sizes"].items() if key != "threads")
    lines = [
        f"# Training step, {args.dtype}", "",
        f"Preset paper without dropout: {sizes}. {result['processor']}, {result['date']}. "
        f"{args.rounds} rounds of {args.steps} steps in turn; of each the turns undisturbed by others on the same cores if "
        "they are three at least.", "",
        "| | tokens/s, median | least | most | ecp is faster by | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, values in result["tokens_per_second"].items():
        ratio = result["ratio"].get(name)
        faster = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio else ""
        label = PEERS[name][0] if name in PEERS else name
        lines.append(f"| {label} | {values['median']:,.0f} | {values['least']:,.0f} | {values['most']:,.0f} | {faster} | "
                     f"{result['peak_memory'][name] / 1e9:.2f} |")
    share, ceiling = result["of_products"], result["products"]
    lines += ["", f"Matrix products of 2048 x 768 x 3072 ({args.dtype}{', packed weights' * (args.dtype == 'bfloat16')}) in the "
              f"same run: {ceiling['median'] / 1e9:,.0f} GFLOP/s; ecp's steps do {share['median']:.2f} of that in operations that "
              "the model asks for (nothing computed twice counts twice).", ""]
    common.write(args.output, result, lines)


def main():
    args = arguments()
    if args.rounds < 7:
        sys.exit(f"train_step.py: --rounds: expected at least 7, got {args.rounds}")
    report(args, *measure(args))


if __name__ == "__main__":
    main()
