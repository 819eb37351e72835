# SPDX-License-Identifier: Apache-2.0
"""Render all files of a cloud, with seals that show later edits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files
from nova_gpu_passthrough.fleet import aliases as fleet_aliases
from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import group_traits
from nova_gpu_passthrough.fleet.offers import CONTROL, HostOffer, Note, choose
from nova_gpu_passthrough.fleet.releases import first_with
from nova_gpu_passthrough.fleet.settings import DeploymentTarget, Settings
from nova_gpu_passthrough.generate import (
    compute_options,
    control_options,
    guests,
    host_files,
    steps,
)
from nova_gpu_passthrough.generate.service_options import CloudOptions, UnsealedFile
from nova_gpu_passthrough.generate.targets import devstack, kolla, plain
from nova_gpu_passthrough.inventory.model import Inventory

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.flavors import FlavorPlan
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

GUESTS_PATH = "etc/gpu-passthrough/guests.yaml"
_TARGETS = {
    DeploymentTarget.PLAIN: plain.files,
    DeploymentTarget.KOLLA: kolla.files,
    DeploymentTarget.DEVSTACK: devstack.files,
}


@dataclass(frozen=True)
class GeneratedFile:
    """A generated file with its seal."""

    #: The compute host's name, or `CONTROL`.
    host: str
    #: Below the host's root.
    path: str
    purpose: str
    #: Including the seal.
    text: str

    def below(self, root: Path, alone: bool = False) -> Path:
        """Return the path of the file below a root.

        :param alone: whether the root has the files of this host only, without a directory for it
        """
        return root / self.path if alone else root / self.host / self.path


@dataclass(frozen=True)
class Generated:
    """The generated files, those of the control plane first, and notes for the operator."""

    files: tuple[GeneratedFile, ...]
    notes: tuple[Note, ...]


def generate(inventories: Sequence[Inventory], settings: Settings, command: str = "") -> Generated:
    """Render all files for hosts without a fleet file.

    :param command: the command line for the head of the files; by default ``nova-gpu config
        generate`` with the settings
    :raises UserError: if inventories and settings contradict each other
    """
    command = command or f"nova-gpu config generate {settings.arguments()}".strip()
    offers, notes = choose(inventories, settings)
    aliases, alias_notes = fleet_aliases.make(offers, settings.numa_policy)
    return _generate(offers, aliases, settings, command, [*notes, *alias_notes])


def generate_fleet(resolved: "ResolvedFleet", plan: "FlavorPlan", command: str) -> Generated:
    """Render all files for the hosts of a fleet.

    :raises UserError: if no host group has the mode passthrough
    """
    if not resolved.offers:
        raise UserError(f"{resolved.file.path}: there is no group of mode passthrough")
    traits = group_traits.traits_by_host(
        resolved.file, resolved.offers, resolved.aliases, resolved.groups
    )
    notes = [*resolved.notes, *plan.notes]
    return _generate(
        resolved.offers,
        resolved.aliases,
        resolved.settings,
        command,
        notes,
        traits,
        plan.flavors,
    )


def _generate(
    offers: Sequence[HostOffer],
    aliases: AliasMap,
    settings: Settings,
    command: str,
    notes: list[Note],
    traits: Mapping[str, tuple[str, ...]] | None = None,
    flavors: Sequence[Flavor] | None = None,
) -> Generated:
    computes = {}
    for offer in offers:
        computes[offer.host], more = compute_options.make(offer, aliases, settings)
        notes += more
    placement, more = control_options.placement(offers, settings)
    notes += [*more, *_release_notes(settings), *_target_notes(settings, bool(traits))]
    cloud = CloudOptions(
        control_options.shared(aliases),
        control_options.scheduler(offers, aliases, settings),
        placement,
        computes,
        traits or {},
    )
    table = guests.table(offers, aliases, settings, flavors)
    unsealed = [
        UnsealedFile(CONTROL, GUESTS_PATH, "flavors and images", table),
        UnsealedFile(
            CONTROL, steps.PATH, "what to do, in order", _control_steps(aliases, settings)
        ),
    ]
    unsealed += _TARGETS[settings.target](cloud)
    for offer in offers:
        of_host, more = host_files.make(offer, settings)
        notes += more
        unsealed += [UnsealedFile(offer.host, *file) for file in of_host]
    files = [
        GeneratedFile(file.host, file.path, file.purpose, generated_files.seal(file.text, command))
        for file in unsealed
    ]
    files.sort(key=lambda file: (file.host != CONTROL, file.host, file.path))
    return Generated(tuple(files), tuple(notes))


def _control_steps(aliases: AliasMap, settings: Settings) -> str:
    classes = [alias.resource_class for alias in aliases.values()]
    return steps.control(settings.target, classes)


def _release_notes(settings: Settings) -> list[Note]:
    release = settings.release
    if settings.one_time_use and not release.one_time_use:
        return [
            Note(
                None,
                f"one_time_use is left out: {release} does not know it, "
                f"{first_with('one_time_use')} is the first release that does",
            )
        ]
    if settings.one_time_use:
        return [
            Note(
                None,
                "one_time_use: Nova keeps a GPU reserved in Placement after its server is deleted; "
                "clean the GPU and set reserved to 0",
            )
        ]
    return []


def _target_notes(settings: Settings, with_traits: bool) -> list[Note]:
    if settings.target is DeploymentTarget.KOLLA:
        host_vars = "Kolla: copy etc/kolla/host_vars to the directory of your inventory"
        return [
            *([Note(None, host_vars)] if with_traits else []),
            Note(
                None,
                "Kolla: the images of nova-scheduler and nova-api must contain "
                "nova-gpu-passthrough; an option in a later override file replaces all values of "
                "this option in earlier files",
            ),
        ]
    if settings.target is DeploymentTarget.DEVSTACK:
        return [Note(None, "DevStack: append each fragment to local.conf on its machine")]
    return []
