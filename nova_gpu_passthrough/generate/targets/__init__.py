# SPDX-License-Identifier: Apache-2.0
"""In which files and in which form a deployment tool wants the options."""
