# SPDX-License-Identifier: Apache-2.0
"""What Placement loads, by configuration of the web server that runs it."""
