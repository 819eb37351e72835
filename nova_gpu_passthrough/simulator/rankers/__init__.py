# SPDX-License-Identifier: Apache-2.0
"""Rankers that need no other package than this one."""
