# SPDX-License-Identifier: Apache-2.0
"""Link groups: which GPUs NVLink, NVSwitches or xGMI join, and partitions inside.

``nvidia_smi``, ``amd_smi`` and ``fabric_manager`` read saved outputs, ``texts`` tells which one a
file is, ``hives`` reads amdgpu's files in sysfs, ``word`` the operator's word. ``assignment``
decides between them and the catalogue's boards.
"""
