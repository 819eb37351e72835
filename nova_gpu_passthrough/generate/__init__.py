# SPDX-License-Identifier: Apache-2.0
"""Render configuration files for kernel, drivers, Nova, Placement and guests as texts.

`render` makes all files of a cloud from its offers, aliases and settings, which ``fleet`` derives.
Every other module renders the files of one purpose, and `targets` arranges the options of Nova and
Placement for a deployment tool. Nothing here reads or writes files.
"""
