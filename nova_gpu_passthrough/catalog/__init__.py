# SPDX-License-Identifier: Apache-2.0
"""The catalogue of known GPU models and boards, as data."""
