# SPDX-License-Identifier: Apache-2.0
"""Policies that rank the hosts that a GPU request fits on; loaded through stevedore."""
