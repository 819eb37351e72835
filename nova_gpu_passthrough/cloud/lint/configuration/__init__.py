# SPDX-License-Identifier: Apache-2.0
"""What Nova's services and Placement are configured with, read as oslo.config reads it.

Nova itself is not needed, so copies of the files can be checked anywhere.
"""
