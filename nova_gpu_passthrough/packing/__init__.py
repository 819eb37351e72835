# SPDX-License-Identifier: Apache-2.0
"""Host states and request classes, so that equal hosts and servers are computed only once.

Hosts with equal free capacity have equal states (`host_state`), servers with equal requests one
class (`request_class`). Policies and simulator count the servers that fit (`count_servers`) and
compute the states that remain (`allocate`), and cache the results by state and class.
"""
