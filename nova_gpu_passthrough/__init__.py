# SPDX-License-Identifier: Apache-2.0
"""Whole-GPU PCI passthrough on OpenStack, the way AI workloads need it."""
