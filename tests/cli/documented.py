"""What documentation tells readers to type: its fenced code blocks."""

import re
from pathlib import Path


def blocks(path):
    """Yields (language, text) of each fenced block of a Markdown file, in order."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", Path(path).read_text(encoding="utf-8"), re.M | re.S):
        yield match[1], match[2]
