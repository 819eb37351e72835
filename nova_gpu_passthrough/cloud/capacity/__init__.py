# SPDX-License-Identifier: Apache-2.0
"""How many more servers of each flavor fit now, and which GPUs no server can use."""
