# SPDX-License-Identifier: Apache-2.0
"""Findings that differ only in what they are about are one for people."""

import subprocess

import pytest

from nova_gpu_passthrough.inventory.finding_groups import merge
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script
from tests import pasteable

UUID = "6f5d0a5e-0000-4000-8000-{:012}"


def missing(host, alias="h100", line=7):
    """Return a finding about a service of a host."""
    return Finding(
        "alias.missing",
        Severity.FAILURE,
        f"nova-compute@{host}",
        f"alias {alias} is missing",
        f"config/{host}/etc/nova/nova.conf:{line} [pci] alias",
        "Servers select other devices.",
        script(
            command("nova-gpu", "config", "generate", "--fleet", "fleet.yaml", "--write", "out"),
            command("scp", "-r", f"out/{host}/etc/nova", f"root@{host}:/etc/"),
            command("ssh", f"root@{host}", "systemctl", "restart", "nova-compute"),
        ),
    )


HOSTS = [f"gpu{number:03}" for number in range(1, 201)]


def test_the_same_on_many_hosts_is_one_finding_with_a_loop():
    (one,) = merge(map(missing, HOSTS))
    assert one.subject == "nova-compute@gpu[001-200] (200)"
    assert one.found == "alias h100 is missing"
    assert one.source == "config/gpu[001-200]/etc/nova/nova.conf:7 [pci] alias"
    assert one.fix.splitlines() == [
        "nova-gpu config generate --fleet fleet.yaml --write out",
        "for host in gpu{001..200}; do",
        "  scp -r out/$host/etc/nova root@$host:/etc/",
        "  ssh root@$host systemctl restart nova-compute",
        "done",
    ]
    pasteable.check(one.fix)


def test_a_loop_runs_the_commands_of_each_host():
    (one,) = merge(map(missing, HOSTS[:3]))
    programs = "scp() { echo scp $*; }; ssh() { echo ssh $*; }; nova-gpu() { :; }\n"
    run = subprocess.run(
        ["bash", "-c", programs + one.fix], capture_output=True, text=True, check=True
    )
    expected = [line for host in HOSTS[:3] for line in missing(host).fix.splitlines()[1:]]
    assert run.stdout.splitlines() == expected


def test_other_texts_stay_separate():
    findings = [missing("gpu1"), missing("gpu2", "l40s"), missing("gpu3")]
    merged = merge(findings)
    assert [one.subject for one in merged] == ["nova-compute@gpu1, gpu3 (2)", "nova-compute@gpu2"]
    assert merged[1] == findings[1]


def test_a_host_whose_name_begins_like_another_is_not_that_host():
    first, second = missing("gpu1"), missing("gpu10")
    (one,) = merge([first, second])
    assert "for host in gpu1 gpu10; do" in one.fix


def test_different_lines_of_files_are_counted():
    (one,) = merge([missing("gpu1"), missing("gpu2", line=9), missing("gpu3", line=9)])
    assert one.source == "config/gpu1/etc/nova/nova.conf:7 [pci] alias and 2 more"


def reserved(number, host="gpu01"):
    """Return a finding about a device."""
    address = f"0000:{number:02x}:00.0"
    return Finding(
        "device.reserved",
        Severity.WARNING,
        f"{host} {address}",
        "reserved: 1 of 1",
        f"Placement, provider {host}_{address.upper()}",
        "No server gets it.",
        script(
            comment("When it may be used again:"),
            command("openstack", "resource", "provider", "delete", UUID.format(number)),
        ),
    )


def test_devices_are_listed_with_a_loop_over_their_providers():
    (one,) = merge(map(reserved, (27, 42)))
    assert one.subject == "gpu01 0000:1b:00.0, 0000:2a:00.0 (2)"
    assert one.source == "Placement, provider gpu01_*"
    assert one.fix.splitlines() == [
        "# When it may be used again:",
        f"for id in {UUID.format(27)} {UUID.format(42)}; do",
        "  openstack resource provider delete $id",
        "done",
    ]
    pasteable.check(one.fix)


def test_many_values_are_counted():
    (one,) = merge(reserved(number, f"gpu{number // 8}") for number in range(160))
    assert one.subject.endswith("0000:0f:00.0 and 144 more (160)")
    assert one.subject.startswith("gpu[0-19] 0000:00:00.0, ")
    lines = one.fix.splitlines()
    assert lines[1] == f"openstack resource provider delete {UUID.format(0)}"
    assert (len(lines), lines[-1]) == (10, "# The output of -f json has 152 more.")
    pasteable.check(one.fix)


def stuck(number):
    """Return a finding whose command has two values."""
    fix = f"openstack server show {UUID.format(number)} {UUID.format(number + 1000)}"
    return Finding("device.stuck", Severity.FAILURE, f"host h{number}", "x", "y", "z", fix)


def test_commands_that_differ_in_two_values_stand_one_after_the_other():
    (one,) = merge(map(stuck, (1, 2)))
    assert one.fix.splitlines() == [stuck(1).fix, stuck(2).fix]


def test_a_value_in_quotes_does_not_become_a_variable():
    def finding(host):
        fix = f"openstack flavor set --property 'a={host} b'"
        return Finding("flavor.x", Severity.FAILURE, f"flavor {host}", "x", "y", "z", fix)

    (one,) = merge(map(finding, ("f1", "f2")))
    assert one.fix.splitlines() == [finding("f1").fix, finding("f2").fix]


@pytest.mark.parametrize("subject", [HOST, "quotas", "flavor a"])
def test_a_single_finding_is_unchanged(subject):
    finding = Finding("x", Severity.OK, subject, "found", "source")
    assert merge([finding]) == [finding]
    assert merge([]) == []


def test_a_list_of_addresses_is_one_value():
    def finding(host, *addresses):
        text = f"held by nouveau: {', '.join(addresses)}"
        return Finding("inventory.told", Severity.WARNING, f"host {host}", text, "inventory", "w")

    first, second = "0000:1b:00.0", "0000:2a:00.0"
    (one,) = merge([finding("g1", first, second), finding("g2", first)])
    assert one.found == f"held by nouveau: {first}, {second}, {first}"
