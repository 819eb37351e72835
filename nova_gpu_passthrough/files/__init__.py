# SPDX-License-Identifier: Apache-2.0
"""Files that people keep: read against a schema, written without losing anybody's edits."""
