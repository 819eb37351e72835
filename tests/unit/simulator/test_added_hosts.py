# SPDX-License-Identifier: Apache-2.0
"""Hosts added with ``--add``."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import added_hosts
from tests.unit.simulator.fleets import fleet, plain

FLEET = fleet(plain(4), plain(8))


def add(*words, pinned=False):
    return added_hosts.hosts(words, FLEET, pinned)


def test_copies_of_an_existing_host():
    found = add("2xhost01", "1xhost01")
    assert [one.name for one in found] == ["host01+1", "host01+2", "host01+3"]
    assert all(one.state == FLEET[1].state for one in found)


@pytest.mark.parametrize(
    "name, model, gpus",
    [
        ("HGX-H100", "H100-SXM", 8),
        ("hgx-h100-4", "H100-SXM", 4),
        ("DGX-H200", "H200-SXM", 8),
        ("A100-SXM-80GB", "A100-SXM-80GB", 8),
        ("HGX-A100-SXM-40GB-4", "A100-SXM-40GB", 4),
        ("MI300X", "MI300X", 8),
    ],
)
def test_hosts_with_a_board(name, model, gpus):
    (found,) = add(f"1x{name}")
    assert (found.model, found.gpus) == (model, gpus)
    assert (found.vcpus, found.ram_mib) == (28 * gpus, 256 * 1024 * gpus)
    assert len(found.state.cells) == 2
    assert {group.link for group in found.state.gpu_groups()} == {1}


def test_vcpus_and_ram_of_a_host_with_a_board():
    (found,) = add("1xHGX-H100,vcpus=96,ram-gib=1024", pinned=True)
    assert (found.vcpus, found.ram_mib) == (0, 1024 * 1024)
    assert [cell.pinned_cpus for cell in found.state.cells] == [48, 48]
    (found,) = add("1xHGX-H100,ram-gib=1024")
    assert (found.vcpus, found.ram_mib) == (224, 1024 * 1024)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("HGX-H100", "expected COUNTxHOST"),
        ("0xHGX-H100", "expected COUNTxHOST"),
        ("9999999xHGX-H100", "expected COUNTxHOST"),
        ("1xHGX-H100,cpus=3", "expected COUNTxHOST"),
        ("1xHGX-A100", "is ambiguous, expected one of A100-SXM-40GB-8, A100-SXM-80GB-8"),
        ("1xHGX-H1000", "no board or host is named HGX-H1000, expected one of .*H100-SXM-8"),
        ("1xHGX-H100-5", "no board or host is named"),
        ("1xhost01,vcpus=3", "vcpus and ram-gib are those of host host01"),
    ],
)
def test_invalid_values_are_refused(word, expected):
    with pytest.raises(UserError, match=f"--add {word}: .*{expected}"):
        add(word)
