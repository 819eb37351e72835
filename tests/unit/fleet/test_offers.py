# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.offers import DeviceKind, choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity, Verdict
from nova_gpu_passthrough.inventory.pci import Role
from tests.unit.generate import builders


def addresses(offer):
    return [device.address for device in offer.devices]


def texts(notes):
    return [str(note) for note in notes]


def unfit(found, address):
    finding = Finding(
        "group.foreign", Severity.FAILURE, address, "found", "source", remedy=Remedy.HARDWARE
    )
    return dataclasses.replace(
        found, findings=(finding,), verdicts={**found.verdicts, address: Verdict.UNFIT}
    )


def test_only_gpus_and_companions_are_offered():
    (offer,), _ = choose([builders.l40s(count=2)], Settings())
    assert [(device.address, device.kind) for device in offer.devices] == [
        ("0000:41:00.0", DeviceKind.GPU),
        ("0000:41:00.1", DeviceKind.AUDIO),
        ("0000:42:00.0", DeviceKind.GPU),
        ("0000:42:00.1", DeviceKind.AUDIO),
    ]
    assert all(device.bound for device in offer.devices)


def test_nvswitches_stay_with_the_host_and_are_reported():
    (offer,), notes = choose([builders.hgx()], Settings())
    assert len(offer.devices) == 8
    (note,) = texts(notes)
    assert note.startswith("hgx1: 4 NVSwitches stay with the host: its fabric manager")


@pytest.mark.parametrize("word", ["0000:41:00.0", "41:00.1", "l40s1/0000:41:00.0"])
def test_an_excluded_card_stays_with_the_host_with_all_functions(word):
    (offer,), notes = choose([builders.l40s(count=2)], Settings(exclude=(word,)))
    assert addresses(offer) == ["0000:42:00.0", "0000:42:00.1"]
    assert "l40s1: 0000:41:00.0 (L40S) stays with the host: --exclude" in texts(notes)


def test_an_address_applies_to_every_host_unless_one_is_named():
    hosts = [builders.l40s("a"), builders.l40s("b")]
    offers, _ = choose(hosts, Settings(exclude=("0000:41:00.0",)))
    assert [len(offer.gpus) for offer in offers] == [3, 3]
    offers, _ = choose(hosts, Settings(exclude=("b/0000:41:00.0",)))
    assert [len(offer.gpus) for offer in offers] == [4, 3]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(exclude=("0000:99:00.0",)),
        Settings(exclude=("elsewhere/0000:20:00.0",)),
        Settings(exclude=("0000:40:00.0",)),
        Settings(nics=("0000:20:00.0",)),
        Settings(nics=("junk",)),
    ],
)
def test_an_address_that_does_not_exist_is_an_error(settings):
    with pytest.raises(UserError, match="there is no such"):
        choose([builders.hgx()], settings)


def test_an_unfit_gpu_is_left_out_and_the_reason_is_reported():
    found = unfit(builders.l40s(count=2), "0000:41:00.0")
    (offer,), notes = choose([found], Settings())
    assert addresses(offer) == ["0000:42:00.0", "0000:42:00.1"]
    assert any("0000:41:00.0" in note and "group.foreign" in note for note in texts(notes))
    (offer,), _ = choose([found], Settings(include_unfit=True))
    assert len(offer.gpus) == 2


def test_a_failure_of_the_host_is_reported_as_the_reason():
    found = builders.l40s(count=2)
    finding = Finding("iommu.off", Severity.FAILURE, HOST, "", "", remedy=Remedy.HARDWARE)
    found = dataclasses.replace(
        found, findings=(finding,), verdicts=dict.fromkeys(found.verdicts, Verdict.UNFIT)
    )
    with pytest.raises(UserError, match="iommu.off"):
        choose([found], Settings())


def test_a_host_without_gpus_for_servers_is_left_out_and_reported():
    cpu_host = builders.inventory("cpu1", [builders.device("0000:40:00.0", Role.NIC, "15b3:1021")])
    offers, notes = choose([builders.l40s(), cpu_host], Settings())
    assert [offer.host for offer in offers] == ["l40s1"]
    assert "cpu1: no GPU remains for servers; no files are generated" in texts(notes)
    with pytest.raises(UserError, match="cpu1: no GPU remains"):
        choose([cpu_host], Settings())


def test_nova_cannot_address_domains_above_ffff():
    found = builders.inventory(
        devices=[builders.device("10000:41:00.0"), builders.device("0000:42:00.0")],
        gpus=[builders.gpu("10000:41:00.0"), builders.gpu("0000:42:00.0")],
    )
    (offer,), notes = choose([found], Settings())
    assert addresses(offer) == ["0000:42:00.0"]
    assert any("no PCI domain above ffff" in note for note in texts(notes))


def test_vfs_that_are_offered_keep_their_pf_with_the_host():
    (offer,), notes = choose([builders.with_vfs()], Settings())
    assert addresses(offer) == ["0000:51:02.0", "0000:51:02.1"]
    assert any("because its VFs are offered to servers" in note for note in texts(notes))
    (offer,), notes = choose([builders.with_vfs()], Settings(exclude=("51:02.0", "51:02.1")))
    assert addresses(offer) == ["0000:51:00.0"]
    assert any("nothing enables VFs at boot" in note for note in texts(notes))


def test_nics_are_offered_on_request_with_the_switch_of_their_gpus():
    (offer,), notes = choose([builders.hgx()], Settings(nics=("0000:41:00.0",)))
    (nic,) = [device for device in offer.devices if device.kind is DeviceKind.NIC]
    assert (nic.model, nic.switch, nic.bound) == ("15b3-1021", "0000:11:00.0", False)
    assert any("the host must not use it" in note for note in texts(notes))


def test_libvirt_binds_gpus_that_have_their_own_vfio_driver():
    found = builders.inventory(
        devices=[builders.device("0009:01:00.0", ids="10de:2342")],
        gpus=[builders.gpu("0009:01:00.0", "GH200")],
    )
    (offer,), notes = choose([found], Settings())
    assert not offer.bound
    assert any("nvgrace_gpu_vfio_pci" in note for note in texts(notes))


@pytest.mark.parametrize(
    "hosts, message",
    [
        ([], "no inventory was given"),
        ([builders.hgx("a"), builders.l40s("a")], "two inventories are of host a"),
        ([builders.hgx("control")], "host 'control'"),
        ([builders.hgx("../etc")], "host '../etc'"),
    ],
)
def test_invalid_hosts_are_an_error(hosts, message):
    with pytest.raises(UserError, match=message):
        choose(hosts, Settings())
