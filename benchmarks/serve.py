"""`ecp serve` under load, on this machine's loopback: many streams at once, clients that are slow or never read, clients that go.

  /health   its answers' time while nothing happens, beside clients that send their request a byte a second and clients that
            never read a long stream, and while all streams are in work
  streams   --streams completions at once: how long until all are complete, memory meanwhile
  batching  one stream and --slots streams in turns: tokens per second
  storm     as many clients as there are slots go at once: how long until the slots are free

  python benchmarks/serve.py runs/austen
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
PROMPT = "It is a truth"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint or run folder")
    parser.add_argument("--binary-dir", type=Path, default=HERE.parent / "build" / "release")
    parser.add_argument("--streams", type=int, default=1000, help="completions at once (at most 4,000)")
    parser.add_argument("--tokens", type=int, default=64, help="of each")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--slow", type=int, default=8, help="clients of each kind beside /health")
    parser.add_argument("--asks", type=int, default=300, help="of /health, each time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: all available")
    parser.add_argument("--name", default="serve", help="of the result files")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder for NAME.json and .md")
    args = parser.parse_args()
    if min(args.streams, args.tokens, args.slots, args.slow, args.asks, args.rounds) < 1 or args.streams > 4000:
        parser.error("expected numbers of at least 1, and at most 4,000 streams")
    return args


class Server:
    def __init__(self, args):
        command = [args.binary_dir / "ecp", "serve", args.checkpoint, "--port", "0", "--slots", args.slots, "--queue", args.streams + 100]
        command += ["--threads", args.threads] if args.threads else []
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        if not found:
            sys.exit(f"serve.py: ecp serve ended with code {self.process.wait()}")
        self.port = int(found[1])

    def resident(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    async def get(self, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2].decode()

    async def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", await self.get("/metrics"), re.M)[1])

    async def begin(self, tokens, **fields):
        """(reader, writer) of a completion that is streamed."""
        body = json.dumps({"prompt": PROMPT, "max_tokens": tokens, "stream": True, "ignore_eos": True, **fields}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return reader, writer

    async def complete(self, tokens, **fields):
        """True if the stream came whole."""
        reader, writer = await self.begin(tokens, **fields)
        answer = await reader.read()
        writer.close()
        return b" 200 " in answer[:20] and b"data: [DONE]" in answer

    async def health(self, asks):
        """Milliseconds of each answer: median, 99 of 100, the longest."""
        times = []
        for _ in range(asks):
            start = time.perf_counter()
            await self.get("/health")
            times.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.02)
        times.sort()
        return {"median": statistics.median(times), "p99": times[(len(times) * 99 - 1) // 100], "most": times[-1]}


async def send_slowly(server):
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            for byte in b"POST /v1/completions HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaa":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            pass
        finally:
            writer.close()


async def never_read(server):
    _, writer = await server.begin(60_000, logprobs=5)
    try:
        await asyncio.sleep(3600)
    finally:
        writer.close()


async def beside_slow_clients(server, args):
    tasks = [asyncio.create_task(kind(server)) for kind in (send_slowly, never_read) for _ in range(args.slow)]
    await asyncio.sleep(2)
    result = await server.health(args.asks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until_free(server)
    return result


async def until_free(server):
    start = time.perf_counter()
    while await server.metric("ecp_slots_busy") > 0:
        if time.perf_counter() - start > 60:
            sys.exit("serve.py: slots are still taken after a minute")
        await asyncio.sleep(0.01)
    return time.perf_counter() - start


async def watch_memory(server, peaks):
    while True:
        peaks.append(server.resident())
        await asyncio.sleep(0.05)


async def many_streams(server, args):
    peaks = [server.resident()]
    watch = asyncio.create_task(watch_memory(server, peaks))
    health = asyncio.create_task(server.health(args.asks))
    start = time.perf_counter()
    whole = await asyncio.gather(*(server.complete(args.tokens, seed=i) for i in range(args.streams)))
    seconds = time.perf_counter() - start
    watch.cancel()
    return {"complete": sum(whole), "of": args.streams, "tokens": args.tokens, "seconds": seconds,
            "resident_before": peaks[0], "resident_most": max(peaks), "resident_after": server.resident(),
            "health_ms": await health}


async def batching(server, args):
    """Tokens per second of one stream and of all slots, in turns."""
    tokens, rates = 200, {"one": [], "all": []}
    await server.complete(tokens)
    for _ in range(args.rounds):
        for name, count in (("one", 1), ("all", args.slots)):
            start = time.perf_counter()
            whole = await asyncio.gather(*(server.complete(tokens, seed=i) for i in range(count)))
            if not all(whole):
                sys.exit("serve.py: a stream wasn't whole")
            rates[name].append(count * tokens / (time.perf_counter() - start))
    ratios = [b / a for a, b in zip(rates["one"], rates["all"])]
    return {"tokens_per_second": rates, "ratio": statistics.median(ratios)}


async def storm(server, args):
    clients = [await server.begin(60_000) for _ in range(args.slots)]
    await asyncio.gather(*(reader.readexactly(400) for reader, _ in clients))
    for _, writer in clients:
        writer.transport.abort()
    return await until_free(server)


async def measure(server, args):
    result = {"health_ms": {"idle": await server.health(args.asks), "slow_clients": await beside_slow_clients(server, args)}}
    result["batching"] = await batching(server, args)
    result["streams"] = await many_streams(server, args)
    result["slots_free_after_s"] = await storm(server, args)
    return result


def main():
    args = arguments()
    server = Server(args)
    try:
        result = {**common.heading(args.name), "slots": args.slots, "slow_clients": args.slow, **asyncio.run(measure(server, args))}
    finally:
        server.process.kill()
        server.process.wait()
    streams, rates = result["streams"], result["batching"]["tokens_per_second"]

    def health(title, times):
        return f"| {title} | {times['median']:.1f} | {times['p99']:.1f} | {times['most']:.1f} |"

    common.write(args.output, result, [
        "# Serving", "", f"`ecp serve` with {args.slots} slots, its clients on the same processors. {result['processor']}, {result['date']}.", "",
        f"{streams['complete']:,} of {streams['of']:,} streams of {streams['tokens']} tokens, all at once, came whole, in {streams['seconds']:.1f} s; resident "
        f"memory {streams['resident_before'] / 1e6:.0f} MB before, {streams['resident_most'] / 1e6:.0f} MB at most.", "",
        f"{args.slots} streams together make {result['batching']['ratio']:.1f} times the tokens of one: {statistics.median(rates['all']):,.0f} and "
        f"{statistics.median(rates['one']):,.0f} a second (medians of {args.rounds} turns).", "",
        f"{args.slots} clients that go at once: their slots are free after {result['slots_free_after_s'] * 1e3:.0f} ms.", "",
        "| `/health`, ms | median | 99 of 100 | longest |", "| --- | ---: | ---: | ---: |",
        health("nothing else", result["health_ms"]["idle"]),
        health(f"{args.slow} clients that send a byte a second, {args.slow} that never read", result["health_ms"]["slow_clients"]),
        health(f"{streams['of']:,} streams", streams["health_ms"]), "",
    ])


if __name__ == "__main__":
    main()
