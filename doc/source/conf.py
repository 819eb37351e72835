# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

project = "nova-gpu-passthrough"
copyright = "nova-gpu-passthrough contributors"

extensions = ["openstackdocstheme"]
html_theme = "openstackdocs"
# There is no git tag to take a version from yet.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ""
