# SPDX-License-Identifier: Apache-2.0
"""The cloud as it is: GPU hosts, their devices and servers, read from Nova and Placement."""
