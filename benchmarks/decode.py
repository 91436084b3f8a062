"""Generation, one token after the other, with weights in float32, bfloat16 and int8.

A token reads every weight once, so that reading memory is the bound. For each type a worker (ecp bench decode,
random weights) takes turns: so much memory read, then tokens generated. With --position, two more: one stream stays near its
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
    parser.add_argument("--llama-python", metavar="PYTHON", help="with llama-cpp-python and gguf: compares llama.cpp as well")
    parser.add_argument("--position", type=int, default=0, help="compare a stream's beginning with this place in it")
    parser.add_argument("--name", default="decode", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error(f"--rounds: expected at least 5, got {args.rounds}")
    return args


def worker(args, kind, position=0):
    return common.ecp_worker(args, "decode", "--dtype", kind, "--position", position, *(f"--set={one}" for one in args.set))


def llama(args, kind, weight_bytes):
    model = dict(one.removeprefix("model.").split("=", 1) for one in args.set)
    sizes = [f"--{name}={model[name]}" for name in ("vocab", "dim", "layers", "heads") if name in model]
    return common.Worker(f"llama.cpp {kind}", [args.llama_python, HERE / "peers" / "llama_cpp_decode.py", f"--dtype={kind}",
                                               f"--bytes={weight_bytes}", f"--threads={args.threads}", *sizes])


def measure_types(args):
    running = {kind: worker(args, kind) for kind in TYPES}
    peers, llamas = {}, {}
    for kind, one in running.items():
        one.ask("ceiling", 2)
        answer = one.ask("token", 5)
        if args.llama_python:
            peers[kind] = llama(args, kind, answer["rate"] * answer["seconds"])
            peers[kind].ask("token", 5)
            llamas[kind] = []
    turns = {kind: [] for kind in TYPES}
    for turn in range(args.rounds):
        for kind, one in running.items():
            read = one.ask_warm("ceiling", 5)
            tokens = one.ask("token", args.tokens)
            turns[kind].append({"seconds": tokens["seconds"], "bytes": tokens["rate"] * tokens["seconds"],
                                "bytes_per_second": read["rate"]})
            if kind in peers:
                answer = peers[kind].ask_warm("token", args.tokens)
                llamas[kind].append({"seconds": answer["seconds"], "bytes": answer["rate"] * answer["seconds"]})
        print(f"round {turn + 1}: " + ", ".join(f"{kind} {1 / answers[-1]['seconds']:.1f} tokens/s at "
                                                 f"{answers[-1]['bytes_per_second'] / 1e9:.1f} GB/s"
                                                 for kind, answers in turns.items()), flush=True)
    for one in (*running.values(), *peers.values()):
        one.close()
    return turns, llamas


def measure_position(args):
    """Seconds per token at a stream's beginning and at --position, in turns."""
    near, far = worker(args, "bfloat16", 1000), worker(args, "bfloat16", args.position)
    turns = {"1000": [], str(args.position): []}
    for one in (near, far):
        one.ask("token", 5)
    for _ in range(args.rounds):
        turns["1000"].append(near.ask_warm("token", args.tokens)["seconds"])
        turns[str(args.position)].append(far.ask_warm("token", args.tokens)["seconds"])
    for one in (near, far):
        one.close()
    return turns


def beside_llama(result, ours, theirs):
    """Three cells of the table; what they say goes into `result` as well."""
    if not theirs:
        return "| |"
    seconds = statistics.median(answer["seconds"] for answer in theirs)
    faster = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs))
    result["llama_cpp"] = {"bytes_per_token": theirs[0]["bytes"], "seconds_per_token": seconds, "ecp_is_faster_by": faster,
                           "all": theirs}
    return f"{theirs[0]['bytes'] / 1e6:.0f} | {1 / seconds:.1f} | {faster:.2f}"


def main():
    args = arguments()
    turns, llamas = measure_types(args)
    result = {**common.heading(args.name), "settings": args.set, "threads": args.threads, "rounds": args.rounds, "types": {}}
    lines = [f"# Generation, a token at a time", "",
             f"{' '.join(args.set) or 'Preset paper, 12 layers of width 768, vocabulary 28,996'}; random weights. "
             f"{result['processor']}, {result['date']}. {args.rounds} turns of {args.tokens} tokens, medians.", "",
             "| weights | MB read per token | tokens/s | memory read, GB/s | of that bound | llama.cpp: MB | tokens/s | ecp is faster by |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for kind, answers in turns.items():
        seconds = statistics.median(a["seconds"] for a in answers)
        share = statistics.median(a["bytes"] / a["bytes_per_second"] / a["seconds"] for a in answers)
        rate = statistics.median(a["bytes_per_second"] for a in answers)
        result["types"][kind] = {"bytes_per_token": answers[0]["bytes"], "seconds_per_token": seconds,
                                 "bytes_per_second": rate, "of_bound": share, "all": answers}
        lines.append(f"| {kind} | {answers[0]['bytes'] / 1e6:.0f} | {1 / seconds:.1f} | {rate / 1e9:.1f} | {share:.2f} | "
                     f"{beside_llama(result['types'][kind], answers, llamas.get(kind, []))} |")
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
