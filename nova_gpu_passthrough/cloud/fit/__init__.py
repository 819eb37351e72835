# SPDX-License-Identifier: Apache-2.0
"""Compute which servers fit on the cloud's hosts, and explain why others do not."""
