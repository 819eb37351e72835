# SPDX-License-Identifier: Apache-2.0
"""Find contradictions between the fleet file, the configuration of the services, and the cloud.

``facts`` holds what is compared, ``cloud_facts`` reads the cloud, ``configuration`` the services'
files. Each module in ``checks`` contains one check; ``drift`` compares with the applied state.
"""
