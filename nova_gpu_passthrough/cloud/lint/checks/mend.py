# SPDX-License-Identifier: Apache-2.0
"""What most findings are mended with."""

GENERATE = (
    "Write it with nova-gpu config generate --fleet FILE --write DIR, copy it into place and "
    "restart {service}."
)
APPLY = "nova-gpu apply --fleet FILE"
AUDIT = (
    "If the host has changed, audit it anew (nova-gpu host audit --write) and put the inventory in "
    "the old one's place."
)


def generate(service: str) -> str:
    """Configuration of a service, ``nova-compute@gpu1`` or ``nova-compute``."""
    return GENERATE.format(service=service.partition("@")[0])
