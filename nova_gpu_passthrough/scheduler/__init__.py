# SPDX-License-Identifier: Apache-2.0
"""The filter and the weigher that nova-scheduler loads, and the readers of Nova's objects."""
