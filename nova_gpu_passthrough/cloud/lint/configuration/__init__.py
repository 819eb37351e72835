# SPDX-License-Identifier: Apache-2.0
"""The configuration of Nova's services and Placement, read as oslo.config reads it.

Nova does not have to be installed, so copies of the files can be checked anywhere.
"""
