# SPDX-License-Identifier: Apache-2.0
"""Brings a cloud to what a fleet file says: what differs, and each change."""
