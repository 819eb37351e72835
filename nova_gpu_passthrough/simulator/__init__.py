# SPDX-License-Identifier: Apache-2.0
"""Replays lists of requests on fleets without a cloud, to compare ways to rank hosts."""
