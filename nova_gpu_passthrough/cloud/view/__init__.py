# SPDX-License-Identifier: Apache-2.0
"""Read the GPU hosts of a cloud, their devices and servers from Nova and Placement."""
