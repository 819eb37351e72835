# SPDX-License-Identifier: Apache-2.0
"""Bring a cloud to the desired state of a fleet file: compare, plan, change, record."""
