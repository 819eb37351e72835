# SPDX-License-Identifier: Apache-2.0
"""Make the inventories of the example fleets: ``python -m tests.unit.fleet.inventories``.

They come from synthetic servers. Only GPUs and their companions are kept, and no findings, so that
the files stay short.
"""

import dataclasses
from pathlib import Path

from nova_gpu_passthrough.host import sysfs
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.findings import Verdict
from tests.trees import a100_pcie, hgx_h100, l40s, scratch, write

FOLDER = Path(__file__).parents[3] / "etc" / "fleet" / "inventories"
AUDITED_AT = "2026-01-01T00:00:00Z"
#: Servers with the link group of their GPUs.
SERVERS = {
    "hgx01": (hgx_h100.machine(), "nvs0"),
    "hgx02": (hgx_h100.machine(), "nvs0"),
    "l40s01": (l40s.machine(), None),
    "l40s02": (l40s.machine(driver="nvidia"), None),
    "a100-01": (a100_pcie.machine(driver="nvidia"), None),
}


def make(host):
    """Return the text of a host's inventory file."""
    machine, link = SERVERS[host]
    with scratch.directory() as folder:
        facts = sysfs.read(Root(write(machine, f"{folder}/tree")), host)
    kept = {address for gpu in facts.gpus for address in (gpu.address, *gpu.companions)}
    found = dataclasses.replace(
        facts,
        audited_at=AUDITED_AT,
        kernel=dataclasses.replace(facts.kernel, modules=None),
        devices=tuple(
            dataclasses.replace(device, bridges=(), modules=())
            for device in facts.devices
            if device.address in kept
        ),
        gpus=tuple(
            dataclasses.replace(gpu, link_group=(link,), link_source="operator") if link else gpu
            for gpu in facts.gpus
        ),
        findings=(),
        verdicts={gpu.address: Verdict.READY for gpu in facts.gpus},
    )
    return store.dump(found, f"nova-gpu host audit --host {host} --write {host}.yaml")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SERVERS:
        (FOLDER / f"{name}.yaml").write_text(make(name), encoding="utf-8")
