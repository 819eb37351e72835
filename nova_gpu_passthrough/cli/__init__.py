# SPDX-License-Identifier: Apache-2.0
"""Commands: one module per thing, one class per command, whose docstring is its help."""
