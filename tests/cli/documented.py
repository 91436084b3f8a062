"""What stands in a page's fenced blocks, for tests that run it as a reader would."""

import re
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(path):
    """(language, text) of each fenced block of a Markdown page, in order."""
    yield from FENCE.findall(Path(path).read_text(encoding="utf-8"))
