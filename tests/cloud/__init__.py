# SPDX-License-Identifier: Apache-2.0
"""A real control plane on one machine: databases, broker and OpenStack's services.

MariaDB, RabbitMQ, Keystone, Placement, Glance, Neutron, Nova's API, conductor and scheduler, and
real nova-compute processes on Nova's fake libvirt, which reports the hosts of inventories.
``python -m tests.cloud`` starts one and keeps it until Ctrl-C.
"""
