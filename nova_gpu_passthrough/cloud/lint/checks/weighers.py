# SPDX-License-Identifier: Apache-2.0
"""The weighers of nova-scheduler: ours enabled and heavier than those that spread servers."""

from collections import Counter
from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "filter_scheduler"
_OPTION = "weight_classes"
_ALL = "nova.scheduler.weights.all_weighers"
_NOVAS = "nova.scheduler.weights."
#: Our weights of two hosts may differ by less than that while one is clearly better.
_LEAST_DIFFERENCE = 0.01
_DEFAULT_WEIGHT = 10000.0


def check(facts: Facts) -> Iterator[Finding]:
    """Of every nova-scheduler, then what aggregates override."""
    for service in facts.role(Role.SCHEDULER):
        yield from _classes(service)
        yield from _multipliers(service)
    yield from _aggregates(facts)


def _classes(service: Service) -> Iterator[Finding]:
    configuration = service.configuration
    classes = configuration.names(_SECTION, _OPTION) or (_ALL,)
    where = configuration.where(_SECTION, _OPTION)
    if control_options.WEIGHER not in classes:
        yield Finding(
            "scheduler.weigher_missing",
            Severity.FAILURE,
            service.name,
            "GpuPassthroughWeigher is not enabled",
            where,
            "PCIWeigher counts NICs and VFs like GPUs and knows neither links nor NUMA nodes; the "
            "other weighers spread servers until no host has all its GPUs free.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER}.",
        )
    if not any(name.startswith(_NOVAS) for name in classes):
        lines = configuration.all((_SECTION, _OPTION))
        twice = f"; of {len(lines)} lines the last counts" if len(lines) > 1 else ""
        yield Finding(
            "scheduler.weighers_lost",
            Severity.FAILURE,
            service.name,
            f"none of Nova's own weighers is enabled{twice}",
            where,
            f"{_OPTION} is one list between commas, not an option that may be repeated. Hosts on "
            "which servers keep failing are not avoided, and servers without GPUs are placed at "
            "random.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER} on one line.",
        )
    again = [name for name, number in Counter(classes).items() if number > 1]
    if _ALL in classes:
        again += [name for name in classes if name.startswith(_NOVAS) and name != _ALL]
    if again:
        yield Finding(
            "scheduler.weigher_twice",
            Severity.WARNING,
            service.name,
            f"counts twice: {', '.join(again)}",
            where,
            "Nova does not look for weighers that are named twice.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER}.",
        )


def _multipliers(service: Service) -> Iterator[Finding]:
    configuration = service.configuration
    ours = configuration.number("gpu_passthrough", "weight_multiplier", _DEFAULT_WEIGHT)
    pci = configuration.number(_SECTION, "pci_weight_multiplier", 1.0)
    if ours is None or pci is None:
        return
    where = configuration.where("gpu_passthrough", "weight_multiplier")
    if ours == 0:
        yield _off(service.name, where)
    elif pci > ours * _LEAST_DIFFERENCE:
        if configuration.last(_SECTION, "pci_weight_multiplier"):
            where = configuration.where(_SECTION, "pci_weight_multiplier")
        yield _outweighed(service.name, pci, ours, where)
    subset = configuration.number(_SECTION, "host_subset_size", 1)
    if subset is not None and subset > 1:
        yield Finding(
            "scheduler.host_subset",
            Severity.WARNING,
            service.name,
            f"host_subset_size is {subset:g}",
            configuration.where(_SECTION, "host_subset_size"),
            "Nova takes a host at random out of so many of the best, so GPU servers are scattered.",
            "Set it to 1; GpuPassthroughFilter keeps schedulers apart by itself.",
        )


def _aggregates(facts: Facts) -> Iterator[Finding]:
    """Metadata that overrides the multipliers for hosts with GPUs."""
    if facts.cloud is None:
        return
    seen = set()
    for host in facts.cloud.view.hosts:
        for name, metadata in host.aggregates.items():
            if name in seen or not host.gpus:
                continue
            seen.add(name)
            subject, where = f"aggregate {name}", "Nova, metadata of the aggregate"
            ours = _number(metadata.get("gpu_passthrough:weight_multiplier"), _DEFAULT_WEIGHT)
            pci = _number(metadata.get("pci_weight_multiplier"), 1.0)
            if ours == 0:
                yield _off(subject, where)
            elif pci > ours * _LEAST_DIFFERENCE:
                yield _outweighed(subject, pci, ours, where)


def _number(text: str | None, default: float) -> float:
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


def _off(subject: str, where: str) -> Finding:
    return Finding(
        "scheduler.weigher_off",
        Severity.WARNING,
        subject,
        "the weight_multiplier of GpuPassthroughWeigher is 0",
        where,
        "Nova's own weighers then spread servers until no host has all its GPUs free.",
        "Leave the default (10000).",
    )


def _outweighed(subject: str, pci: float, ours: float, where: str) -> Finding:
    return Finding(
        "scheduler.pci_weigher",
        Severity.WARNING,
        subject,
        f"pci_weight_multiplier {pci:g} beside {ours:g} of GpuPassthroughWeigher",
        where,
        "PCIWeigher counts NICs, VFs and disks like GPUs; with such a weight it decides between "
        "hosts that differ in NUMA nodes or links.",
        f"Keep pci_weight_multiplier at or below {ours * _LEAST_DIFFERENCE:g}, or raise "
        "[gpu_passthrough] weight_multiplier.",
    )
