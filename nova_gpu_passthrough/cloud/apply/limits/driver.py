# SPDX-License-Identifier: Apache-2.0
"""Which of Nova's quota drivers is at work, as far as the API tells.

No request tells it outright. With nova.quota.UnifiedLimitsDriver, though, what Nova shows as quota
class ``default`` are Keystone's registered limits, and 0 where there is none; with
nova.quota.NoopQuotaDriver it is -1 for all; with nova.quota.DbQuotaDriver it is Nova's own
(``get_class_quotas`` of each in nova/quota.py, ``LEGACY_LIMITS`` in nova/limit/).
"""

from collections.abc import Mapping

from nova_gpu_passthrough.fleet.model import QuotaDriver

#: What Nova's quotas are called as unified limits.
NAMES = {
    "instances": "servers",
    "cores": "class:VCPU",
    "ram": "class:MEMORY_MB",
    "key_pairs": "server_key_pairs",
    "metadata_items": "server_metadata_items",
    "server_groups": "server_groups",
    "server_group_members": "server_group_members",
}


def note(wanted: str, shown: Mapping[str, int], registered: Mapping[str, int]) -> str | None:
    """What to tell if the driver seems to be another than the fleet file says.

    :param wanted: a `QuotaDriver`
    :param shown: Nova's quota class ``default``
    :param registered: Keystone's registered limits of Nova
    """
    values = {name: shown[name] for name in NAMES if name in shown}
    unified = {name: registered.get(NAMES[name], 0) for name in values}
    if not values:
        return None
    if set(values.values()) == {-1}:
        return (
            "Nova counts no quotas: [quota] driver of nova-api seems to be "
            "nova.quota.NoopQuotaDriver, so that no limit holds"
        )
    if wanted == QuotaDriver.UNIFIED_LIMITS and values != unified:
        differing = [name for name, value in values.items() if value != unified[name]]
        told = ", ".join(f"{n} {values[n]} ({NAMES[n]} {unified[n]})" for n in differing)
        return (
            "Nova's default quotas are not Keystone's registered limits, so [quota] driver of "
            "nova-api seems not to be nova.quota.UnifiedLimitsDriver, and the limits in Keystone "
            f"do not hold: {told}"
        )
    if wanted == QuotaDriver.NOVA and values == unified:
        return (
            "Nova's default quotas are Keystone's registered limits, so [quota] driver of nova-api "
            "seems to be nova.quota.UnifiedLimitsDriver, and Nova's own quotas do not hold"
        )
    return None
