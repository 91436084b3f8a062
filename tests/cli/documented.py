"""Commands and files as documents show them: fenced blocks, to be run by tests."""

import re

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(path):
    """(language, text) of the fenced blocks of a Markdown file, in order."""
    return FENCE.findall(path.read_text(encoding="utf-8"))


def script(path, replace=()):
    """One shell script that does what the document says: `sh` blocks are commands; a block of another language whose first line
    is a comment with a file's name is that file. `replace`: pairs of texts."""
    lines = ["set -euo pipefail"]
    for language, text in blocks(path):
        for old, new in replace:
            text = text.replace(old, new)
        named = re.match(r"(?:#|//) (\S+\.\w+)\n", text)
        if language == "sh":
            lines.append(text)
        elif named:
            lines.append(f"cat > {named[1]} <<'END_OF_FILE'\n{text}END_OF_FILE")
        else:
            raise ValueError(f"{path}: a {language} block that is neither commands nor a named file:\n{text}")
    return "\n".join(lines)
