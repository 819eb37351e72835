# SPDX-License-Identifier: Apache-2.0
"""How much projects may use: Keystone's unified limits, or Nova's own quotas."""
