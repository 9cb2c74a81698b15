"""The examples of a Markdown page."""

import re


def fenced(page: str, language: str = r"\w*") -> list[str]:
    """The contents of a page's fenced blocks in one language, or in all."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def console_examples(page: str) -> list[tuple[str, str]]:
    """The commands in a page's console blocks, each with the output below it."""
    found = []
    for block in fenced(page, "console"):
        before, *examples = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert not before, f"a console block begins without a command: {block}"
        for example in examples:
            command, _, output = example.partition("\n")
            found.append((command, output))
    return found


def command_lines(page: str, *programs: str, language: str = r"\w*") -> list[str]:
    """The lines in a page's blocks that call one of these programs, without comments after a `#`."""
    lines = (line.split(" #")[0].strip() for block in fenced(page, language) for line in block.splitlines())
    return [line for line in lines if line.startswith(tuple(f"{name} " for name in programs))]
