# SPDX-License-Identifier: Apache-2.0
"""Writes the texts anew."""

from tests.trees import texts

for name, content in texts.contents().items():
    texts.FOLDER.joinpath(name).write_text(content)
