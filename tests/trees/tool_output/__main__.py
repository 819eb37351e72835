# SPDX-License-Identifier: Apache-2.0
"""Rewrites the files of tool output."""

from tests.trees import tool_output

for name, content in tool_output.contents().items():
    tool_output.FOLDER.joinpath(name).write_text(content)
