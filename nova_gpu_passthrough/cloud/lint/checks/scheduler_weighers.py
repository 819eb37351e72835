# SPDX-License-Identifier: Apache-2.0
"""The weighers of nova-scheduler: GpuPassthroughWeigher must outweigh those that spread servers."""

from collections import Counter
from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command

_SECTION = "filter_scheduler"
_OPTION = "weight_classes"
_ALL = "nova.scheduler.weights.all_weighers"
_NOVA_PREFIX = "nova.scheduler.weights."
#: The weights of two hosts may differ by as little as this although one is clearly better.
_LEAST_DIFFERENCE = 0.01
_DEFAULT_WEIGHT = 10000.0
_ROLES = (ServiceRole.SCHEDULER,)
#: The multipliers in aggregate metadata.
_GPU_KEY = "gpu_passthrough:weight_multiplier"
_PCI_KEY = "pci_weight_multiplier"


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every nova-scheduler, then multipliers in aggregates."""
    for service in facts.services_with(ServiceRole.SCHEDULER):
        yield from _classes(facts, service)
        yield from _multipliers(facts, service)
    yield from _aggregates(facts)


def _classes(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configuration = service.configuration
    classes = configuration.names(_SECTION, _OPTION) or (_ALL,)
    where = configuration.where(_SECTION, _OPTION)
    own = [name for name in dict.fromkeys(classes) if not name.startswith(_NOVA_PREFIX)]
    right = [_ALL, *(name for name in own if name != control_options.WEIGHER)]
    fix = facts.fixes.set_option(
        service, _SECTION, _OPTION, ",".join([*right, control_options.WEIGHER]), roles=_ROLES
    )
    if control_options.WEIGHER not in classes:
        yield Finding(
            "scheduler.weigher_missing",
            Severity.FAILURE,
            service.name,
            "GpuPassthroughWeigher is not enabled",
            where,
            "PCIWeigher counts NICs and VFs like GPUs and ignores links and NUMA nodes; the other "
            "weighers spread servers until no host has all its GPUs free.",
            fix,
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
            fix,
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
            fix,
        )


def _multipliers(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configuration = service.configuration
    gpu = configuration.number("gpu_passthrough", "weight_multiplier", _DEFAULT_WEIGHT)
    pci = configuration.number(_SECTION, "pci_weight_multiplier", 1.0)
    if gpu is None or pci is None:
        return
    where = configuration.where("gpu_passthrough", "weight_multiplier")
    if gpu == 0:
        default = f"{_DEFAULT_WEIGHT:g}"
        fix = facts.fixes.set_option(
            service, "gpu_passthrough", "weight_multiplier", default, roles=_ROLES
        )
        yield _off(service.name, where, fix)
    elif pci > gpu * _LEAST_DIFFERENCE:
        if configuration.last(_SECTION, "pci_weight_multiplier"):
            where = configuration.where(_SECTION, "pci_weight_multiplier")
        most = f"{gpu * _LEAST_DIFFERENCE:g}"
        fix = facts.fixes.set_option(service, _SECTION, "pci_weight_multiplier", most, roles=_ROLES)
        yield _outweighed(service.name, pci, gpu, where, fix)
    subset = configuration.number(_SECTION, "host_subset_size", 1)
    if subset is not None and subset > 1:
        yield Finding(
            "scheduler.host_subset",
            Severity.WARNING,
            service.name,
            f"host_subset_size is {subset:g}",
            configuration.where(_SECTION, "host_subset_size"),
            "Nova chooses a random host among this many best hosts, so GPU servers are scattered. "
            "GpuPassthroughFilter itself avoids races between schedulers.",
            facts.fixes.set_option(service, _SECTION, "host_subset_size", "1", roles=_ROLES),
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
            gpu = _number(metadata.get(_GPU_KEY), _DEFAULT_WEIGHT)
            pci = _number(metadata.get(_PCI_KEY), 1.0)
            if gpu == 0:
                yield _off(subject, where, _unset(facts, name, _GPU_KEY))
            elif pci > gpu * _LEAST_DIFFERENCE:
                yield _outweighed(subject, pci, gpu, where, _unset(facts, name, _PCI_KEY))


def _unset(facts: Facts, aggregate: str, key: str) -> str:
    """Return how to remove a key from the metadata of an aggregate."""
    managed = {one.name: one.metadata for one in facts.desired.aggregates}
    if key in managed.get(aggregate, {}):
        return facts.fixes.edit_fleet(
            f"remove {key} from metadata of the group of aggregate {aggregate}", facts.fixes.apply()
        )
    return command("openstack", "aggregate", "unset", "--property", key, aggregate)


def _number(text: str | None, default: float) -> float:
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


def _off(subject: str, where: str, fix: str) -> Finding:
    return Finding(
        "scheduler.weigher_off",
        Severity.WARNING,
        subject,
        "the weight_multiplier of GpuPassthroughWeigher is 0",
        where,
        "Nova's own weighers then spread servers until no host has all its GPUs free.",
        fix,
    )


def _outweighed(subject: str, pci: float, gpu: float, where: str, fix: str) -> Finding:
    return Finding(
        "scheduler.pci_weigher",
        Severity.WARNING,
        subject,
        f"pci_weight_multiplier {pci:g} against {gpu:g} of GpuPassthroughWeigher",
        where,
        "PCIWeigher counts NICs, VFs and disks like GPUs; with this weight it overrides "
        "differences in NUMA nodes and links.",
        fix,
    )
