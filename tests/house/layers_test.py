"""The order of the rooms: includes point only downward, LibTorch stays above its line, an architecture stays in the
files that CONTRIBUTING.md lists for it."""

import os
import re
import unittest
from pathlib import Path

SOURCE = Path(os.environ["ECP_SOURCE_DIR"])

# Top to bottom, as in CONTRIBUTING.md. A room includes itself and what stands below it.
ROOMS = ["cli", "train", "eval", "model", "ops", "experiment", "serve", "bench", "runtime", "weights", "config", "probes", "text", "images",
         "machine", "kernels", "intervals", "base"]
WITH_TORCH = {"cli/torch", "train", "eval", "model", "ops"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def sources(*folders):
    for folder in folders:
        yield from sorted(p for p in (SOURCE / folder).rglob("*") if p.suffix in (".h", ".cpp"))


def room_of(path):
    """"text" for ecp/text/windows.h, "cli/torch" for the subcommands that need LibTorch."""
    parts = path.parts
    if parts[:3] == ("ecp", "cli", "torch"):
        return "cli/torch"
    return parts[1] if len(parts) > 2 else ""


def rank(room):
    """Higher rooms come first; above them ecp/ecp.h, which includes what is public of them."""
    return ROOMS.index(room.split("/")[0]) if room else -1


class Layers(unittest.TestCase):
    def includes(self):
        for path in sources("ecp"):
            name = path.relative_to(SOURCE)
            for bracket, target in INCLUDE.findall(path.read_text(encoding="utf-8")):
                yield name, bracket, target

    def test_rooms_are_the_known_ones(self):
        rooms = {p.name for p in (SOURCE / "ecp").iterdir() if p.is_dir()}
        self.assertLessEqual(rooms, set(ROOMS), "a new room needs a place in the order, here and in CONTRIBUTING.md")

    def test_includes_point_only_downward(self):
        wrong = []
        for name, bracket, target in self.includes():
            if bracket != '"':
                continue
            self.assertTrue(target.startswith("ecp/"), f"{name} includes \"{target}\": name it from the project's folder")
            self.assertTrue((SOURCE / target).exists(), f"{name} includes {target}, which does not exist")
            if rank(room_of(Path(target))) < rank(room_of(name)):
                wrong.append(f"{name} includes {target}")
        self.assertEqual(wrong, [])

    def test_torch_stays_above_its_line(self):
        wrong = []
        for name, _, target in self.includes():
            if room_of(name) in WITH_TORCH:
                continue
            if target.split("/")[0] in ("torch", "ATen", "c10") or room_of(Path(target)) in WITH_TORCH:
                wrong.append(f"{name} includes {target}")
        self.assertEqual(wrong, [])

    def test_headers_are_included_once(self):
        # Those compiled once per instruction set have a guard that turns with it.
        missing = [str(p.relative_to(SOURCE)) for p in sources("ecp", "tests") if p.suffix == ".h"
                   and ("HWY_TARGET_TOGGLE" if p.name.endswith("-inl.h") else "#pragma once")
                   not in p.read_text(encoding="utf-8")]
        self.assertEqual(missing, [])

    def test_contributing_lists_the_rooms_in_this_order(self):
        text = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
        listed = re.findall(r"^    ([a-z]+)/ ", text, re.M)
        self.assertEqual(listed, ROOMS)


class Architectures(unittest.TestCase):
    """What names an architecture or decides by one."""

    # `Pattern::full()` is not among them: it is the baseline that any architecture is compared with.
    NAMES = re.compile(r"PatternKind::\w+|Pattern::ecp\b|architecture\s*[=!]=|\.architecture\s*=\s*\"")

    def test_architectures_are_named_where_contributing_says(self):
        text = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
        recipe = text.split("## A new architecture", 1)[1].split("\n## ", 1)[0]
        allowed = re.findall(r"`(ecp/[\w/.<>]+)`", recipe)
        self.assertTrue(allowed)
        wrong = []
        for path in sources("ecp"):
            name = str(path.relative_to(SOURCE))
            if name in allowed or re.fullmatch(r"ecp/model/\w+_attention\.(h|cpp)", name):
                continue
            for line, content in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                code = content.split("//")[0]
                if self.NAMES.search(code):
                    wrong.append(f"{name}:{line}: {content.strip()}")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
