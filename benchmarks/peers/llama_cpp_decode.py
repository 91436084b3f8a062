"""Generation by llama.cpp, as a worker that benchmarks/decode.py asks beside ours.

A llama of random weights is written as GGUF: as many layers and the same width and vocabulary as the model beside it,
its feed-forward so wide that a token reads as many bytes of weights. int8 is Q8_0. Needs the packages gguf and
llama-cpp-python. Each line "token N" is answered by one JSON line.
"""

import argparse
import ctypes
import json
import os
import sys
import tempfile
import time

import numpy as np


def write_model(path, args, inner):
    import gguf
    kinds = {"float32": gguf.GGMLQuantizationType.F32, "bfloat16": gguf.GGMLQuantizationType.BF16,
             "int8": gguf.GGMLQuantizationType.Q8_0}
    kind = kinds[args.dtype]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(args.layers)
    writer.add_context_length(args.context)
    writer.add_embedding_length(args.dim)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(args.heads)
    writer.add_head_count_kv(args.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(args.dim // args.heads)
    writer.add_vocab_size(args.vocab)
    writer.add_tokenizer_model("no_vocab")
    random = np.random.default_rng(1)
    total = 0

    def matrix(name, rows, columns, read=True):
        nonlocal total
        values = (0.05 * (random.random((rows, columns), dtype=np.float32) - 0.5)).astype(np.float32)
        data = values if args.dtype == "float32" else gguf.quants.quantize(values, kind)
        total += data.nbytes if read else 0
        writer.add_tensor(name, data, raw_dtype=kind)

    def ones(name):
        writer.add_tensor(name, np.ones(args.dim, dtype=np.float32))

    matrix("token_embd.weight", args.vocab, args.dim, read=False)
    for layer in range(args.layers):
        of = f"blk.{layer}."
        ones(of + "attn_norm.weight")
        ones(of + "ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{of}{name}.weight", args.dim, args.dim)
        matrix(of + "ffn_gate.weight", inner, args.dim)
        matrix(of + "ffn_up.weight", inner, args.dim)
        matrix(of + "ffn_down.weight", args.dim, inner)
    ones("output_norm.weight")
    matrix("output.weight", args.vocab, args.dim)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return total


def inner_width(args):
    """The feed-forward's, for `args.bytes` per token: a multiple of 64."""
    each = {"float32": 4.0, "bfloat16": 2.0, "int8": 34 / 32}[args.dtype]
    elements = args.bytes / each - args.vocab * args.dim
    width = (elements / args.layers - 4 * args.dim * args.dim) / (3 * args.dim)
    return max(64, round(width / 64) * 64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("vocab", 28996), ("dim", 768), ("layers", 12), ("heads", 6), ("context", 2048), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bytes", type=float, required=True, help="of weights per token")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "int8"), default="bfloat16")
    args = parser.parse_args()
    try:
        import llama_cpp
    except ImportError as error:
        sys.exit(f"llama_cpp_decode.py: expected the packages gguf and llama-cpp-python: {error}")
    threads = args.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.gguf")
        total = write_model(path, args, inner_width(args))
        llama_cpp.llama_backend_init()
        quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
        settings = llama_cpp.llama_model_default_params()
        settings.use_mmap = False
        load = getattr(llama_cpp, "llama_model_load_from_file", None) or llama_cpp.llama_load_model_from_file
        model = load(path.encode(), settings)
    if not model:
        sys.exit("llama_cpp_decode.py: llama.cpp can't load the model that was written for it")
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx, settings.n_threads, settings.n_threads_batch = args.context, threads, threads
    start = getattr(llama_cpp, "llama_init_from_model", None) or llama_cpp.llama_new_context_with_model
    context = start(model, settings)
    random = np.random.default_rng(2)
    position = 0
    for line in sys.stdin:
        count = int(line.split()[1])
        begin = time.perf_counter()
        for _ in range(count):
            token = (ctypes.c_int32 * 1)(int(random.integers(args.vocab)))
            if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1)) != 0:
                sys.exit(f"llama_cpp_decode.py: decoding failed at position {position}: is --context too small?")
            llama_cpp.llama_get_logits(context)
            position += 1
        seconds = (time.perf_counter() - begin) / count
        print(json.dumps({"seconds": seconds, "rate": total / seconds, "tokens_per_second": 1 / seconds,
                          "position": position}), flush=True)


if __name__ == "__main__":
    main()
