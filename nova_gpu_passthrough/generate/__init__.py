# SPDX-License-Identifier: Apache-2.0
"""From inventories to configuration: kernel, drivers, Nova, Placement, guests. Pure: no files.

``tree.generate`` is the whole; every other file makes one kind of file or decides one question.
"""
