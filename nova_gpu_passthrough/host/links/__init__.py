# SPDX-License-Identifier: Apache-2.0
"""Link groups: which GPUs are joined by NVLink, NVSwitches or xGMI, and the partitions inside.

``nvidia_smi``, ``amd_smi`` and ``partitions`` parse saved tool output, ``xgmi`` reads amdgpu's
files in sysfs, ``operator_groups`` parses the operator's option. ``resolved_output`` maps a tool's
GPU indexes to PCI addresses of the host. ``link_groups`` decides between these sources and the
catalogue's boards.
"""
