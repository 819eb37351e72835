# SPDX-License-Identifier: Apache-2.0
"""``make demo``: the same servers placed by Nova alone and with this package, side by side."""
