# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU hosts for people and their monitoring: metrics and a page."""
