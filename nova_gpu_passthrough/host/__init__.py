# SPDX-License-Identifier: Apache-2.0
"""The audit of a compute host: reads /sys and /proc, changes nothing."""
