# SPDX-License-Identifier: Apache-2.0
"""Read files that users edit against a schema, and write files without losing users' edits."""
