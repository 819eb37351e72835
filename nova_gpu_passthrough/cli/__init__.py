# SPDX-License-Identifier: Apache-2.0
"""The commands of ``nova-gpu`` and ``openstack gpu``: a class's docstring is the command's help."""
