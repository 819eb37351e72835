# SPDX-License-Identifier: Apache-2.0
"""Arrange the options of Nova and Placement in the files of a deployment tool."""
