"""Whole training steps in PyTorch, as a worker that benchmarks/train_step.py asks beside ours.

--formulation authors: the paper's program, AdamW not fused. --formulation sdpa: the best that PyTorch has for it,
peers/sdpa.py with fused AdamW; --dtype bfloat16 trains under autocast, --compile after torch.compile.

Each line "step K" is answered by one JSON line.
"""

import argparse
import json
import resource
import sys
import time

import authors
import sdpa
import torch
from torch import nn
from torch.nn import functional as F


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("vocab", 256), ("dim", 256), ("layers", 6), ("heads", 4), ("sequence", 1024), ("block", 128),
                          ("batch", 4), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--formulation", choices=("authors", "sdpa"), default="authors")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    formulation = {"authors": authors, "sdpa": sdpa}[args.formulation]
    model = formulation.Model(args.vocab, args.dim, args.layers, args.heads, args.sequence, args.block, args.dropout)
    decay = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    others = [p for p in model.parameters() if all(p is not d for d in decay)]
    fused = args.formulation != "authors"
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                  lr=5e-4, betas=(0.9, 0.95), foreach=False, fused=fused)

    def loss_of(tokens):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
            logits = model(tokens[:, :-1])
            return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    if args.compile:
        loss_of = torch.compile(loss_of)
    generator = torch.Generator().manual_seed(2)
    for line in sys.stdin:
        steps = int(line.split()[1])
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(steps):
            tokens = torch.randint(args.vocab, (args.batch, args.sequence + 1), generator=generator)
            loss = loss_of(tokens)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds / steps, "cpu_seconds": (time.process_time() - cpu_start) / steps,
                          "tokens_per_second": steps * args.batch * args.sequence / seconds, "loss": float(loss.detach()),
                          "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


if __name__ == "__main__":
    main()
