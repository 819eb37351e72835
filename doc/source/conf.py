# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_exts"))

project = "nova-gpu-passthrough"
copyright = "nova-gpu-passthrough contributors"

extensions = ["openstackdocstheme", "oslo_config.sphinxext", "cliff.sphinxext", "reference"]
html_theme = "openstackdocs"
html_theme_options = {
    "root_title": project,
    # These pages are not OpenStack's own: they count nothing for its site and ask it for nothing.
    "analytics_tracking_code": "",
    "display_badge": False,
    "sidebar_search": True,
}
# In the place of the theme's: OpenStack's menus, and the licence of OpenStack's documentation.
# Most blocks are shell commands with placeholders, or logs.
highlight_language = "none"
templates_path = ["_templates"]
exclude_patterns = ["_exts", "_templates"]
# There is no git tag to take a version from yet.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = ""
