# SPDX-License-Identifier: Apache-2.0
"""How hosts that fit a GPU request are ranked; loaded through stevedore."""
