# SPDX-License-Identifier: Apache-2.0
"""Keep control characters in names and texts of others away from the terminal.

Inventories, projects, reasons of disabled services and fleet files may contain any character, and a
terminal obeys some of them. They are printed as escapes: ``\\x1b``. JSON and YAML have escapes of
their own and stay exact.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

#: C0 and C1 controls; line and paragraph separators; marks that change the direction of text, so
#: that it is shown in another order; surrogates, which no encoding can print.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
#: The colours of this program (`terminal`), and the end of one.
_COLOUR = re.compile(r"\x1b\[(?:0|1|1;31|31|32|33|36)m")


def printable(text: str, keep: str = "") -> str:
    """Return a text with its control characters as escapes.

    :param keep: control characters that stay, such as a line break
    """
    return _CONTROLS.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


class PrintableStream:
    """A text stream to which control characters are written as escapes.

    Line breaks and tabs are kept, and this program's own colours on a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        #: The stream itself, for programs that write escape sequences of their own.
        self.raw = stream

    def write(self, text: str) -> int:
        """Write a text."""
        if self.raw.isatty():
            parts = _COLOUR.split(text)
            colours = [*_COLOUR.findall(text), ""]
            text = "".join(
                printable(part, "\n\t") + colour
                for part, colour in zip(parts, colours, strict=True)
            )
        else:
            text = printable(text, "\n\t")
        return self.raw.write(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the stream."""
        return getattr(self.raw, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Print control characters as escapes, on standard output and standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_wrapped, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def raw(stream: TextIO) -> TextIO:
    """Return a stream without the escapes, for a library that prints escape sequences."""
    inner: TextIO = (
        getattr(stream, "raw", stream) if isinstance(stream, PrintableStream) else stream
    )
    return inner


def _wrapped(stream: Any) -> Any:
    # A daemon may have no standard output.
    return (
        stream if stream is None or isinstance(stream, PrintableStream) else PrintableStream(stream)
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
