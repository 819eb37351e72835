# SPDX-License-Identifier: Apache-2.0
"""Read the limits of projects and what they use, with the role of the caller.

``caller`` identifies the user, ``keystone_limits`` and ``project_usage`` read one thing each, and
``project_quotas`` puts them together. ``cloud.apply`` sets limits.
"""
