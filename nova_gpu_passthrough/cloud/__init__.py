# SPDX-License-Identifier: Apache-2.0
"""Everything that talks to a running OpenStack cloud, through openstacksdk."""
