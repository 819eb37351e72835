# SPDX-License-Identifier: Apache-2.0
"""A host's weight for a GPU request, made of quality of fit and the policy's score."""

#: Parts of the weight. Two NUMA nodes instead of one cost a quarter of the quality or more: as
#: much as the policy can ever give, so that no policy splits a server over NUMA nodes.
QUALITY = 0.8
POLICY = 0.2


def weight(quality: float, score: float) -> float:
    """0..1, the higher the better.

    :param quality: `DeviceChoice.quality` of the best choice, or its ``numa_quality``
    :param score: the policy's; what is not between 0 and 1 is cut off
    """
    return QUALITY * quality + POLICY * min(1.0, max(0.0, score))
