# SPDX-License-Identifier: Apache-2.0
"""Host aggregates, with their hosts, metadata and availability zones."""
