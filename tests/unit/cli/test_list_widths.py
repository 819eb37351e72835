# SPDX-License-Identifier: Apache-2.0
"""No list command breaks an address, id, name or command, whatever the terminal's width."""

import io
import re

import pytest

from nova_gpu_passthrough.cli.listing import ListCommand
from nova_gpu_passthrough.cli.main import NAMESPACE
from nova_gpu_passthrough.cli.table import TerminalTable
from tests.trees import defects
from tests.unit import audited
from tests.unit.cli.clouds import cloud as cloud
from tests.unit.cli.clouds import named as named
from tests.unit.cli.test_capacity import GPUS
from tests.unit.cli.test_capacity import fleet as fleet
from tests.unit.cli.test_capacity import hosts as hosts
from tests.unit.cli.test_plugin import entry_points
from tests.unit.cloud import clouds
from tests.unit.cloud.quota.builders import H100, use_unified_limits

#: The method that the fixture below replaces.
EMIT = TerminalTable.emit_list
WIDTHS = (60, 80, 100, 160)
CLOUD_LISTS = (
    "available",
    "capacity",
    "capacity --by-host",
    "device list",
    "device list --all",
    "explain large",
    "explain train",
    "host list",
    "lint",
    "quota list --all",
)
LISTS = (
    "config generate",
    "flavor generate",
    "gpu list --root {tree}",
    "host audit --all --root {tree}",
    "simulate",
    "simulate --flavor gpu.l40s.1 --add 2xl40s1 --seeds 3",
)
#: Commands whose table is that of another.
SAME_AS = {"drift": "lint"}
COMMANDS = {name.replace("_", " "): point.load() for name, point in entry_points(NAMESPACE).items()}
#: What may not be broken: PCI addresses, UUIDs, resource classes, finding ids, aliases.
WHOLE = re.compile(
    r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|[0-9a-f]{8}-[0-9a-f-]{27}|CUSTOM_\w+|`[^`]+`"
    r"|\b(?:openstack|nova-manage|nova-gpu) [a-z]+\b"
)


@pytest.fixture
def table(nova_gpu, monkeypatch, fleet, tree):
    """Run a command; return a function that renders its table for a width, by default any."""
    machine = defects.iommu_disabled_in_firmware(audited.L40S)
    emitted = []
    monkeypatch.setattr(TerminalTable, "emit_list", lambda *arguments: emitted.append(arguments))

    def run(command, *options):
        monkeypatch.setenv("NOVA_GPU_FLEET", str(fleet))
        nova_gpu(*command.format(tree=tree(machine)).split(), *options)
        ((formatter, names, rows, _, parsed_args),) = emitted
        emitted.clear()
        rows = list(rows)

        def render(width=0):
            out = io.StringIO()
            parsed_args.max_width = width
            EMIT(formatter, names, rows, out, parsed_args)
            return out.getvalue()

        return render

    return run


@pytest.fixture
def used(named, hosts, monkeypatch):
    """A cloud with stuck, reserved and used GPUs, and names as long as operators make them."""
    clouds.allocate(named, hosts, "l40s2", GPUS[:1], "11111111-2222-3333-4444-555555555555")
    named.nova.add_flavor("gpu.l40s.4.with-a-long-name", 4, 2048, pci_passthrough__alias="l40s:4")
    named.nova.add_flavor("large", 100, 1024, pci_passthrough__alias="l40s:1")
    use_unified_limits(named)
    named.keystone.limit(H100, 8, "research")
    monkeypatch.setenv("OS_CLOUD", "test")


def _check(table, command):
    (cls,) = (cls for name, cls in COMMANDS.items() if f"{command} ".startswith(f"{name} "))
    for options in ((), ("--long",)) if cls.long_columns else ((),):
        render = table(command, *options)
        lines = [line for line in render().splitlines() if line.startswith("|")]
        assert len(lines) > 1
        wholes = {whole for line in lines[1:] for whole in _wholes(line)}
        for width in WIDTHS:
            out = render(width)
            assert {whole for whole in wholes if whole not in out} == set()
            for line in out.splitlines():
                assert len(line) <= width or not line.startswith(("|", "+"))


def _wholes(line):
    """Return what may not be broken in a row of a table."""
    for cell in line.strip("|").split("|"):
        for part in cell.strip().split(", "):
            yield from WHOLE.findall(part) if " " in part else [part]


@pytest.mark.parametrize("command", CLOUD_LISTS)
def test_lists_of_a_cloud(table, used, command):
    _check(table, command)


def test_stranded_gpus(table, used, named):
    named.nova.flavors.clear()
    named.nova.add_flavor("large", 100, 1024, pci_passthrough__alias="l40s:1")
    _check(table, "capacity --stranded")


@pytest.mark.parametrize("command", LISTS)
def test_lists_without_a_cloud(table, command):
    _check(table, command)


def test_every_list_is_tested():
    lists = {name for name, cls in COMMANDS.items() if issubclass(cls, ListCommand)}
    tested = {
        name for name in lists for command in CLOUD_LISTS + LISTS if f"{command} ".startswith(name)
    }
    assert lists - tested == set(SAME_AS)
