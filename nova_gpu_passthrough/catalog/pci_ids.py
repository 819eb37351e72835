# SPDX-License-Identifier: Apache-2.0
"""Names of PCI functions from the pci.ids files of a distribution.

Format: https://pci-ids.ucw.cz/, the head of the file. Several packages bring one; distributions
keep them for years, so the newest by the date in its head is taken.
"""

import functools
import re
from collections.abc import Iterable

#: Where distributions and pciutils' update-pciids put it.
PATHS = (
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
)
_VERSION = re.compile(r"^#\s*Version:\s*(\S+)", re.MULTILINE)


class PciIds:
    """The newest of some pci.ids texts.

    :param texts: contents of the files that were found
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = max(texts, key=version, default="")
        # One lookup per kind of function, not per function.
        self.name = functools.cache(self._name)

    def _name(self, vendor_id: str, product_id: str) -> str | None:
        """A function's name, or None if the file does not know it."""
        start = self._text.find(f"\n{vendor_id}  ")
        if start < 0:
            return None
        # A vendor's part ends at the next line that is neither indented nor a comment.
        end = re.compile(r"\n(?![\t#\r\n])").search(self._text, start + 1)
        part = self._text[start : end.start() if end else len(self._text)]
        found = re.search(rf"\n\t{product_id}  ([^\n]*)", part)
        return found[1].strip() or None if found else None


def version(text: str) -> str:
    """The date in the head of a pci.ids text, such as 2026.06.20; empty if it has none."""
    found = _VERSION.search(text[:4096])
    return found[1] if found else ""
