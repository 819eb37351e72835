# SPDX-License-Identifier: Apache-2.0
"""What the generator tells beside the files: what was left out, and why."""

from typing import NamedTuple


class Note(NamedTuple):
    """One sentence about a host, or about the whole cloud."""

    host: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.host}: {self.text}" if self.host else self.text
