# SPDX-License-Identifier: Apache-2.0
"""The weighers of nova-scheduler: GpuPassthroughWeigher must outweigh those that spread servers."""

from collections import Counter
from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "filter_scheduler"
_OPTION = "weight_classes"
_ALL = "nova.scheduler.weights.all_weighers"
_NOVA_PREFIX = "nova.scheduler.weights."
#: The weights of two hosts may differ by as little as this although one is clearly better.
_LEAST_DIFFERENCE = 0.01
_DEFAULT_WEIGHT = 10000.0


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every nova-scheduler, then multipliers in aggregates."""
    for service in facts.services_with(ServiceRole.SCHEDULER):
        yield from _classes(service)
        yield from _multipliers(service)
    yield from _aggregates(facts)


def _classes(service: ConfiguredService) -> Iterator[Finding]:
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
            "PCIWeigher counts NICs and VFs like GPUs and ignores links and NUMA nodes; the other "
            "weighers spread servers until no host has all its GPUs free.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER}.",
        )
    if not any(name.startswith(_NOVA_PREFIX) for name in classes):
        lines = configuration.all((_SECTION, _OPTION))
        repeated = f"; only the last of {len(lines)} lines applies" if len(lines) > 1 else ""
        yield Finding(
            "scheduler.weighers_lost",
            Severity.FAILURE,
            service.name,
            f"none of Nova's own weighers is enabled{repeated}",
            where,
            f"{_OPTION} is one comma-separated list, not an option that may be repeated. Hosts on "
            "which servers keep failing are not avoided, and servers without GPUs are placed at "
            "random.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER} on one line.",
        )
    duplicates = [name for name, count in Counter(classes).items() if count > 1]
    if _ALL in classes:
        duplicates += [name for name in classes if name.startswith(_NOVA_PREFIX) and name != _ALL]
    if duplicates:
        yield Finding(
            "scheduler.weigher_twice",
            Severity.WARNING,
            service.name,
            f"enabled twice: {', '.join(duplicates)}",
            where,
            "Nova does not detect this, and adds the weight twice.",
            f"Set {_OPTION} = {_ALL},{control_options.WEIGHER}.",
        )


def _multipliers(service: ConfiguredService) -> Iterator[Finding]:
    configuration = service.configuration
    gpu = configuration.number("gpu_passthrough", "weight_multiplier", _DEFAULT_WEIGHT)
    pci = configuration.number(_SECTION, "pci_weight_multiplier", 1.0)
    if gpu is None or pci is None:
        return
    where = configuration.where("gpu_passthrough", "weight_multiplier")
    if gpu == 0:
        yield _off(service.name, where)
    elif pci > gpu * _LEAST_DIFFERENCE:
        if configuration.last(_SECTION, "pci_weight_multiplier"):
            where = configuration.where(_SECTION, "pci_weight_multiplier")
        yield _outweighed(service.name, pci, gpu, where)
    subset = configuration.number(_SECTION, "host_subset_size", 1)
    if subset is not None and subset > 1:
        yield Finding(
            "scheduler.host_subset",
            Severity.WARNING,
            service.name,
            f"host_subset_size is {subset:g}",
            configuration.where(_SECTION, "host_subset_size"),
            "Nova chooses a random host among this many best hosts, so GPU servers are scattered.",
            "Set it to 1; GpuPassthroughFilter itself avoids races between schedulers.",
        )


def _aggregates(facts: Facts) -> Iterator[Finding]:
    """Check aggregate metadata that overrides the multipliers for hosts with GPUs."""
    if facts.cloud is None:
        return
    checked = set()
    for host in facts.cloud.view.hosts:
        for name, metadata in host.aggregates.items():
            if name in checked or not host.gpus:
                continue
            checked.add(name)
            subject, where = f"aggregate {name}", "Nova, metadata of the aggregate"
            gpu = _number(metadata.get("gpu_passthrough:weight_multiplier"), _DEFAULT_WEIGHT)
            pci = _number(metadata.get("pci_weight_multiplier"), 1.0)
            if gpu == 0:
                yield _off(subject, where)
            elif pci > gpu * _LEAST_DIFFERENCE:
                yield _outweighed(subject, pci, gpu, where)


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


def _outweighed(subject: str, pci: float, gpu: float, where: str) -> Finding:
    return Finding(
        "scheduler.pci_weigher",
        Severity.WARNING,
        subject,
        f"pci_weight_multiplier {pci:g} against {gpu:g} of GpuPassthroughWeigher",
        where,
        "PCIWeigher counts NICs, VFs and disks like GPUs; with this weight it overrides "
        "differences in NUMA nodes and links.",
        f"Keep pci_weight_multiplier at or below {gpu * _LEAST_DIFFERENCE:g}, or raise "
        "[gpu_passthrough] weight_multiplier.",
    )
