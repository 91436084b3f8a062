"""Whole training steps at growing lengths: time per token and memory, with a plot.

Each length is a process of its own (ecp bench train): a step to warm up, then measured steps of one sequence.

  python benchmarks/length.py --binary-dir build/release
  python benchmarks/length.py --lengths 2048,8192,1048576 --rounds 1
"""

import argparse
import statistics
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
MODEL = {"model.dim": 256, "model.layers": 6, "model.heads": 4, "model.block": 128, "model.vocab": 256,
         "train.dtype": "bfloat16", "train.activation_checkpointing": "on"}
LENGTHS = "2048,4096,8192,16384,32768,65536,131072,262144,524288,1048576"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--lengths", default=LENGTHS)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help=f"beside {', '.join(f'{key}={value}' for key, value in MODEL.items())}")
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--least-seconds", type=float, default=20, help="of measured steps at a length")
    parser.add_argument("--rounds", type=int, default=1, help="times that all lengths are gone through")
    parser.add_argument("--name", default="length", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json, .md and .svg")
    return parser.parse_args()


def measure(args, length):
    settings = [*(f"{key}={value}" for key, value in MODEL.items()), *args.set, f"model.sequence={length}", "train.batch=1"]
    worker = common.ecp_worker(args, "train", *(f"--set={setting}" for setting in settings))
    first = worker.ask("step", 1)["seconds"]
    answer = worker.ask("step", max(1, round(args.least_seconds / first)))
    worker.close()
    return {"microseconds_per_token": 1e6 / answer["tokens_per_second"], "peak_memory": answer["peak_memory"],
            "cpu_microseconds_per_token": 1e6 * answer["cpu_seconds"] / length}


def plot(lengths, cases):
    """Memory above, time per token below; lengths on a logarithmic axis."""
    width, height, left, top, gap = 720, 250, 70, 30, 60
    right = width - 20
    low, high = lengths[0], lengths[-1]

    def x_of(length):
        return left + (right - left) * common.log_share(length, low, high)

    parts = []

    def panel(y0, title, values, ticks, share, text):
        parts.append(f'<text x="{left}" y="{y0 - 10}" class="title">{title}</text>')
        for tick in ticks:
            y = y0 + height * (1 - share(tick))
            parts.append(f'<path d="M{left} {y:.1f}H{right}" class="grid"/>'
                         f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{text(tick)}</text>')
        for length in lengths:
            parts.append(f'<text x="{x_of(length):.1f}" y="{y0 + height + 18}" text-anchor="middle">{common.short(length)}</text>')
        points = [(x_of(length), y0 + height * (1 - share(value))) for length, value in zip(lengths, values)]
        parts.append(f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" class="line"/>')
        for (x, y), value in zip(points, values):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{text(value)}</title></circle>')

    memory = [case["peak_memory"] for case in cases]
    bottom, most = 10 ** 8, max(memory) * 1.3
    panel(top, "Memory of a whole training step at its peak", memory,
          [tick for tick in (10 ** 8, 3 * 10 ** 8, 10 ** 9, 3 * 10 ** 9, 10 ** 10, 3 * 10 ** 10) if tick < most],
          lambda value: common.log_share(value, bottom, most), lambda value: f"{value / 1e9:.3g} GB")
    time = [case["microseconds_per_token"] for case in cases]
    most_time = max(time) * 1.2
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10 ** 9) if most_time / step <= 6)
    panel(top + height + gap + 20, "Microseconds per token", time, range(0, int(most_time) + 1, step),
          lambda value: value / most_time, lambda value: f"{value:.0f}")
    total = top + 2 * height + gap + 60
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" font-family="sans-serif" font-size="12">'
            '<style>svg{background:#fff}text{fill:#333}.title{font-size:14px;font-weight:bold}.grid{stroke:#ddd;fill:none}'
            ".line{stroke:#2563eb;stroke-width:2;fill:none}circle{fill:#2563eb}</style>"
            f'{"".join(parts)}<text x="{(left + right) / 2}" y="{total - 8}" text-anchor="middle">tokens of a sequence</text></svg>\n')


def main():
    args = arguments()
    lengths = sorted(int(length) for length in args.lengths.split(","))
    turns = {length: [] for length in lengths}
    for _ in range(args.rounds):
        for length in lengths:
            turns[length].append(measure(args, length))
            last = turns[length][-1]
            print(f"{length}: {last['microseconds_per_token']:.1f} us a token, {last['peak_memory'] / 1e9:.2f} GB", flush=True)
    cases = [{key: statistics.median(turn[key] for turn in turns[length]) for key in turns[length][0]} for length in lengths]
    result = {**common.heading(args.name), "settings": {**MODEL, **dict(one.split("=", 1) for one in args.set)},
              "rounds": args.rounds, "lengths": dict(zip(map(str, lengths), cases)), "all": turns}
    lines = ["# Length", "",
             f"Whole training steps of one sequence: {', '.join(f'{key} = {value}' for key, value in result['settings'].items())}. "
             f"{result['processor']}, {result['date']}.", "",
             f"![memory and time over the length]({args.name}.svg)", "",
             "| tokens | microseconds per token | of both processors | peak memory, GB |", "| ---: | ---: | ---: | ---: |"]
    lines += [f"| {length:,} | {case['microseconds_per_token']:.1f} | {case['cpu_microseconds_per_token']:.1f} | "
              f"{case['peak_memory'] / 1e9:.2f} |" for length, case in zip(lengths, cases)]
    common.write(args.output, result, [*lines, ""])
    (args.output / f"{args.name}.svg").write_text(plot(lengths, cases))


if __name__ == "__main__":
    main()
