# SPDX-License-Identifier: Apache-2.0
"""Known GPU models, as data."""
