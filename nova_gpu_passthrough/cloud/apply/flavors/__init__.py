# SPDX-License-Identifier: Apache-2.0
"""Flavors, with their extra specs and the projects that may use them."""
