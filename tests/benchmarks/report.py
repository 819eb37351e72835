# SPDX-License-Identifier: Apache-2.0
"""Tables, progress and expectations."""

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Expectations:
    """The expectations and the measured results."""

    lines: list[str] = field(default_factory=list)

    def add(self, expectation: str, met: bool, measured: str) -> None:
        """Add an expectation with its result."""
        self.lines.append(f"{'met    ' if met else 'NOT MET'}  {expectation}: {measured}")

    def show(self) -> None:
        """Print all expectations."""
        if self.lines:
            heading("Expectations")
            print("\n".join(self.lines), flush=True)


def progress(text: str) -> None:
    """Print the current step on standard error."""
    print(f"... {text}", file=sys.stderr, flush=True)


def heading(text: str) -> None:
    """Print a title."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print a table with the first column aligned left and the others right."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
    for note in notes:
        print(note)
    sys.stdout.flush()


def milliseconds(seconds: float) -> str:
    """Format milliseconds with three significant digits, or as a whole number from 100."""
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def microseconds(seconds: float) -> str:
    """Format microseconds with one decimal."""
    return f"{seconds * 1e6:,.1f}"


def times(ratio: float) -> str:
    """Format a ratio."""
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def peak_mib() -> float:
    """Return the peak memory use of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
