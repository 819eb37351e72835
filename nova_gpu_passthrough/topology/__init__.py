# SPDX-License-Identifier: Apache-2.0
"""GPUs, NUMA cells and links of a host; whether and how well a request fits. No Nova here."""
