# SPDX-License-Identifier: Apache-2.0
"""The servers agree with the published layouts; their modules name the sources."""

import pytest

from tests.trees import hgx_h100, l40s, mi300x, nvidia_smi
from tests.trees.many import many


def _path(machine, address):
    location = machine.location(address)
    names = [device.address[5:] for device in (*reversed(location.parents), location.device)]
    return "/".join([names[0], *names[1:]])


@pytest.mark.parametrize("product", [hgx_h100.H100, hgx_h100.H200])
def test_hgx_has_the_published_addresses_four_to_a_numa_node(product):
    machine = hgx_h100.machine(product)
    gpus = machine.gpus()
    assert [gpu.address[5:7] for gpu in gpus] == ["18", "2a", "3a", "5d", "9a", "ab", "ba", "db"]
    assert [machine.location(gpu.address).numa_node for gpu in gpus] == [0] * 4 + [1] * 4
    assert {gpu.device for gpu in gpus} == {product}


def test_hgx_pairs_each_gpu_with_the_published_nic():
    machine = hgx_h100.machine()
    nics = {
        device.infiniband: machine.location(device.address)
        for device in machine.devices().values()
        if device.infiniband
    }
    near = [
        [
            name
            for name, nic in nics.items()
            if nvidia_smi.path(machine.location(gpu.address), nic) == "PIX"
        ]
        for gpu in machine.gpus()
    ]
    assert near == [[f"mlx5_{number}"] for number in (0, 1, 2, 5, 6, 7, 8, 9)]
    assert nvidia_smi.path(nics["mlx5_3"], nics["mlx5_4"]) == "PIX"


def test_mi300x_has_the_published_paths_from_root_port_to_gpu_and_nic():
    machine = mi300x.machine()
    gpus = [_path(machine, gpu.address) for gpu in machine.gpus()]
    assert gpus == [
        "00:01.1/01:00.0/02:00.0/03:00.0/04:00.0/05:00.0",
        "18:01.1/19:00.0/1a:04.0/29:00.0/2a:00.0/2b:00.0",
        "48:01.1/49:00.0/4a:04.0/59:00.0/5a:00.0/5b:00.0",
        "60:01.1/61:00.0/62:00.0/63:00.0/64:00.0/65:00.0",
        "78:01.1/79:00.0/7a:00.0/7b:00.0/7c:00.0/7d:00.0",
        "98:01.1/99:00.0/9a:03.0/a3:00.0/a4:00.0/a5:00.0",
        "c8:01.1/c9:00.0/ca:03.0/d3:00.0/d4:00.0/d5:00.0",
        "e0:01.1/e1:00.0/e2:02.0/e5:00.0/e6:00.0/e7:00.0",
    ]
    nics = [_path(machine, one.address) for one in machine.devices().values() if one.infiniband]
    assert sorted(nics) == [
        "00:01.1/01:00.0/02:01.0/09:00.0",
        "18:01.1/19:00.0/1a:03.0/23:00.0",
        "48:01.1/49:00.0/4a:03.0/53:00.0",
        "60:01.1/61:00.0/62:01.0/69:00.0",
        "78:01.1/79:00.0/7a:05.0/8f:00.0",
        "98:01.1/99:00.0/9a:01.0/9c:00.0",
        "c8:01.1/c9:00.0/ca:02.0/cd:00.0",
        "e0:01.1/e1:00.0/e2:04.0/f1:00.0",
    ]


@pytest.mark.parametrize("gpus", [4, 8])
def test_l40s_cards_are_halved_between_the_sockets_with_their_audio(gpus):
    machine = l40s.machine(gpus)
    nodes = [machine.location(gpu.address).numa_node for gpu in machine.gpus()]
    assert nodes == [0] * (gpus // 2) + [1] * (gpus // 2)
    for gpu in machine.gpus():
        assert machine.devices()[gpu.address[:-1] + "1"].class_code == 0x040300


def test_another_number_of_l40s_is_rejected():
    with pytest.raises(ValueError, match="4 or 8 GPUs, not 6"):
        l40s.machine(6)


@pytest.mark.parametrize(("gpus", "devices"), [(64, 256), (8, 40), (1, 7), (0, 5), (128, 400)])
def test_many_has_exactly_the_requested_numbers(gpus, devices):
    machine = many(gpus, devices)
    assert len(machine.devices()) == devices
    assert len(machine.gpus()) == gpus
    assert len({location.path for location in machine.locations()}) == devices


@pytest.mark.parametrize(("gpus", "devices"), [(64, 100), (1, 200)])
def test_many_rejects_numbers_that_do_not_fit(gpus, devices):
    with pytest.raises(ValueError, match="GPUs"):
        many(gpus, devices)
