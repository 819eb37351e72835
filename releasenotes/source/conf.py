# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

project = "nova-gpu-passthrough"
copyright = "nova-gpu-passthrough contributors"

extensions = ["openstackdocstheme", "reno.sphinxext"]
html_theme = "openstackdocs"
# The notes of every release are in the history: no version of its own for the pages.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ""
