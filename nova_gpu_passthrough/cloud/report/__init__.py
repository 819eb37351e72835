# SPDX-License-Identifier: Apache-2.0
"""Show the cloud's GPU hosts: metrics for Prometheus and an HTML page."""
