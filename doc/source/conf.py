# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_exts"))

project = "nova-gpu-passthrough"
copyright = "nova-gpu-passthrough contributors"

extensions = ["openstackdocstheme", "oslo_config.sphinxext", "cliff.sphinxext", "reference"]
html_theme = "openstackdocs"
exclude_patterns = ["_exts"]
# There is no git tag to take a version from yet.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ""
