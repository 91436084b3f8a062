"""What the benchmarks share: the machine's description and result files."""

import datetime
import json
import platform
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def processor():
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    kinds = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(kinds)})"


def heading(benchmark):
    """The first fields of every result."""
    return {"benchmark": benchmark, "date": datetime.date.today().isoformat(), "processor": processor()}


def write(folder, result, lines):
    """`result` as FOLDER/BENCHMARK.json, `lines` as .md beside it and on standard output."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['benchmark']}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{result['benchmark']}.md").write_text("\n".join(lines))
    print("\n".join(lines))
