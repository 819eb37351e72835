# SPDX-License-Identifier: Apache-2.0
"""The tags of ``[pci] device_spec`` that report a device's topology to the scheduler.

``nova-gpu config generate`` writes them, the scheduler's plugins read them. Nova keeps keys of a
device_spec that it does not know as tags of the device's pool
(``_create_pool_keys_from_dev`` in nova/pci/stats.py).
"""

#: The GPU's model; a device with this tag is a GPU.
MODEL = "gpu_model"
#: Link group and the partitions inside it, outermost first, joined by `LINK_SEPARATOR`.
LINK_GROUP = "gpu_link_group"
#: The closest PCIe upstream port that the device shares with others.
SWITCH = "gpu_switch"
#: Shared by all functions of one card.
CARD = "gpu_card"
TAGS = (MODEL, LINK_GROUP, SWITCH, CARD)
#: Tags of this package have this prefix.
PREFIX = "gpu_"
#: Separates a link group from the partitions inside it.
LINK_SEPARATOR = "/"
