"""Comments, which files store without naming their encoding."""

from __future__ import annotations

from collections.abc import Iterable

from upsample_cli.images.format_table import COMMENT


def decoded(comment: bytes) -> str:
    r"""A comment in UTF-8, or else in Latin-1.

    >>> decoded("Grüße".encode()), decoded(b"Gr\xfc\xdfe")
    ('Grüße', 'Grüße')
    """
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def as_text(comments: Iterable[bytes]) -> tuple[tuple[str, str], ...]:
    r"""Comments as one text of `Metadata.text`. Repeated ones count once.

    >>> as_text([b"by Ada", b"", b"draft", b"by Ada"])
    (('Comment', 'by Ada\ndraft'),)
    """
    text = "\n".join(decoded(comment) for comment in dict.fromkeys(comments) if comment)
    return ((COMMENT, text),) if text else ()
