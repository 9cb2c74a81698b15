"""The HTML of the `--gallery` page, from `templates/`: one file that does not load other files."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options

if TYPE_CHECKING:
    from upsample_cli.images.preview import Preview

_LEAST_BOX = 192
"""The smallest side of the box for a detail, in pixels. The details of a tiny image are enlarged to this size."""


def _template(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


_HEAD, FOOT = _template("page.html").split("$articles")
_ARTICLE, _BEFORE_AFTER = Template(_template("article.html")), Template(_template("before_after.html"))

START = _HEAD[: _HEAD.index('<meta name="viewport"')]
"""The start of every page, by which pages of this program are recognized."""


def head(options: Options, summary: Sequence[str], failures: Sequence[str]) -> str:
    """The page up to its first image.

    Args:
        options: the options of the run.
        summary: lines about the whole run.
        failures: one line for each failure.
    """
    return Template(_HEAD).substitute(
        kernel=_text(options.kernel),
        border=_text(options.border),
        summary="\n".join(map(_text, summary)),
        hidden="" if failures else " hidden",
        failures="".join(f"<li>{_text(failure)}</li>\n" for failure in failures),
    )


def article(result: Result, shown: Preview | None, excuse: str) -> str:
    """The part of the page about one image.

    Args:
        result: the result of the image.
        shown: the preview; None if it is missing.
        excuse: why the preview is missing.
    """
    name = _text(str(result.input))
    notes = "".join(f"<p>Warning: {_text(sentence(warning))}</p>\n" for warning in result.remarks)
    images = f"<p>{_text(excuse)}</p>\n" if shown is None else _images(name, shown)
    facts = [f"to {_text(str(result.output))}"]
    if result.width is not None and result.output_width is not None:
        facts.append(f"{result.width}×{result.height} to {result.output_width}×{result.output_height}")
    facts.append(f"{result.elapsed_s:.2f} s" if result.status == "written" else result.status)
    return _ARTICLE.substitute(name=name, facts=", ".join(facts), notes=notes, images=images)


def _images(name: str, shown: Preview) -> str:
    top, left, height, width = shown.detail
    whole_height, whole_width = shown.shape
    after_height, after_width = shown.after_shape
    zoom = max(1, _LEAST_BOX // max(shown.after_shape))
    return _BEFORE_AFTER.substitute(
        name=name,
        overview=_data_url(shown.overview),
        left=f"{left / whole_width:.2%}",
        top=f"{top / whole_height:.2%}",
        width=f"{width / whole_width:.2%}",
        height=f"{height / whole_height:.2%}",
        box_width=after_width * zoom,
        box_height=after_height * zoom,
        before=_data_url(shown.before),
        before_size=f"{width}×{height}",
        after=_data_url(shown.after),
        after_size=f"{after_width}×{after_height}",
    )


def _data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{b64encode(webp).decode()}"


def _text(text: str) -> str:
    """Escape markup and unprintable characters in a text such as a file name."""
    return html.escape(one_line(text))
