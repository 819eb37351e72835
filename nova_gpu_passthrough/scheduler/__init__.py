# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler loads: a filter and a weigher, and how they read Nova's objects."""
