"""HTML of the `--gallery` page: one file that loads nothing."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence, warnings
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options

if TYPE_CHECKING:
    from upsample_cli.images.preview import Preview

_LEAST_BOX = 192
"""Smallest side of the box that shows a detail; both details of a tiny image are enlarged to it."""

_STYLE = """
:root { color-scheme: light dark; --edge: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
pre, p, figcaption { margin: .25rem 0; }
pre { overflow-x: auto; }
.failures { border-left: 4px solid #d33; margin: 1rem 0; padding-left: 1rem; overflow-wrap: anywhere; }
article { border-top: 1px solid var(--edge); padding: 1rem 0; content-visibility: auto;
          contain-intrinsic-size: auto 20rem; }
.images { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: .5rem 0 0; }
figcaption, article > p { font-size: .85rem; opacity: .8; }
img { display: block; background: repeating-conic-gradient(#8883 0 25%, #fff0 0 50%) 0 0 / 16px 16px; }
.detail { image-rendering: pixelated; }
.overview { position: relative; width: max-content; }
.overview span { position: absolute; box-sizing: border-box; min-width: 4px; min-height: 4px;
                 outline: 2px solid #fff; border: 2px solid #d33; }
"""

START = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="generator" content="upsample --gallery">\n'
)
"""Every page starts with this, which distinguishes our pages from other files."""

FOOT = "</main>\n</body>\n</html>\n"


def head(options: Options, summary: Sequence[str], failures: Sequence[str]) -> str:
    """The page down to its first image.

    Args:
        summary: lines about the whole run.
        failures: one line per failure.
    """
    title = "Enlarged images, before and after"
    listed = "".join(f"<li>{_text(failure)}</li>\n" for failure in failures)
    failed = f'<section class="failures">\n<h2>Failed</h2>\n<ul>\n{listed}</ul>\n</section>\n' if failures else ""
    lines = "\n".join(map(_text, summary))
    return (
        f'{START}<meta name="viewport" content="width=device-width">\n'
        # Nothing is loaded, so opening the page contacts no server.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
        f"<p>Kernel {_text(options.kernel)}, border {_text(options.border)}.</p>\n<pre>{lines}</pre>\n"
        f"</header>\n{failed}<main>\n"
    )


def article(result: Result, shown: Preview | None, excuse: str) -> str:
    """The part of the page about one image.

    Args:
        shown: its preview; None if there is none.
        excuse: why there is no preview.
    """
    name = _text(str(result.input))
    notes = "".join(f"<p>Warning: {_text(sentence(warning))}</p>\n" for warning in warnings(result))
    images = f"<p>{_text(excuse)}</p>\n" if shown is None else _images(name, shown)
    facts = [f"to {_text(str(result.output))}"]
    if result.width is not None and result.output_width is not None:
        facts.append(f"{result.width}×{result.height} to {result.output_width}×{result.output_height}")
    facts.append(f"{result.elapsed_s:.2f} s" if result.status == "written" else result.status)
    return f"<article>\n<h2>{name}</h2>\n<p>{', '.join(facts)}</p>\n{notes}{images}</article>\n"


def _images(name: str, shown: Preview) -> str:
    top, left, height, width = shown.detail
    after_height, after_width = shown.after_shape
    zoom = max(1, _LEAST_BOX // max(shown.after_shape))
    box = f'class="detail" width="{after_width * zoom}" height="{after_height * zoom}"'
    place = (("left", left / shown.shape[1]), ("top", top / shown.shape[0]),
             ("width", width / shown.shape[1]), ("height", height / shown.shape[0]))  # fmt: skip
    mark = "; ".join(f"{side}: {share:.2%}" for side, share in place)
    return (
        '<div class="images">\n'
        f'<figure><div class="overview">{_image(shown.overview, name + ", all of it, made small")}'
        f'<span style="{mark}"></span></div><figcaption>The input; the frame is the detail.</figcaption></figure>\n'
        f"<figure>{_image(shown.before, f'{name}, a detail before', box)}"
        f"<figcaption>Before: {width}×{height} pixels</figcaption></figure>\n"
        f"<figure>{_image(shown.after, f'{name}, the same detail after', box)}"
        f"<figcaption>After: {after_width}×{after_height} pixels</figcaption></figure>\n</div>\n"
    )


def _image(webp: bytes, alt: str, attributes: str = "") -> str:
    data = b64encode(webp).decode()
    return f'<img {attributes} loading="lazy" decoding="async" alt="{alt}" src="data:image/webp;base64,{data}">'


def _text(text: str) -> str:
    """Any text, such as a file name, without markup and unprintable characters."""
    return html.escape(one_line(text))
