# SPDX-License-Identifier: Apache-2.0
"""Why no host takes a server, or why this host has it."""
