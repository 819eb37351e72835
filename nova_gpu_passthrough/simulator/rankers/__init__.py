# SPDX-License-Identifier: Apache-2.0
"""Rankers that need nothing but this package."""
