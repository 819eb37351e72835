# SPDX-License-Identifier: Apache-2.0
"""The fleet file: the operator's one source of truth about GPU hosts, flavors and quotas."""
