# SPDX-License-Identifier: Apache-2.0
"""Parse INI files as oslo.config does."""

from oslo_config import iniparser


class _Parser(iniparser.BaseParser):
    def __init__(self):
        self.found = []
        self._section = ""

    def assignment(self, key, value):
        self.found.append((self._section, key, "\n".join(value)))

    def new_section(self, section):
        self._section = section


def assignments(text):
    """Return section, key and value of every assignment, in order."""
    parser = _Parser()
    parser.parse(text.splitlines(keepends=True))
    return parser.found
