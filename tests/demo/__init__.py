# SPDX-License-Identifier: Apache-2.0
"""``make demo``: place the same servers with Nova alone and with this package."""
