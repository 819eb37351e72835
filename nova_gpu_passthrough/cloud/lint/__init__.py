# SPDX-License-Identifier: Apache-2.0
"""Contradictions between fleet file, configuration of the services, and cloud.

``facts`` is what is looked at, each file in ``checks`` has one idea of what can be wrong, ``run``
puts them together. Only ``reading`` talks to a cloud.
"""
