# SPDX-License-Identifier: Apache-2.0
"""Colours of severities and verdicts, on terminals only."""

import os
import sys
from typing import Any

from cliff.columns import FormattableColumn

from nova_gpu_passthrough.inventory.findings import Severity, Verdict

#: Names of rich's, which are those of the terminal's own colours.
STYLES = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.FAILURE: "bold red",
    Verdict.READY: "green",
    Verdict.CONFIGURE: "yellow",
    Verdict.UNFIT: "bold red",
}
_CODES = {"green": "32", "yellow": "33", "bold red": "1;31"}


def wanted() -> bool:
    """Whether standard output shows colours (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Coloured(FormattableColumn[Any]):
    """A severity or verdict: coloured for people, plain for programs."""

    def human_readable(self) -> str:
        """Its name, in its colour where standard output is a terminal."""
        text = str(self._value)
        style = STYLES.get(self._value)
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and wanted() else text

    def machine_readable(self) -> str:
        """Its name."""
        return str(self._value)
