# SPDX-License-Identifier: Apache-2.0
"""All files of a cloud: from inventories and settings to sealed texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import writing
from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors import groups
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import CONTROL, Offer, choose
from nova_gpu_passthrough.fleet.settings import Settings, Target
from nova_gpu_passthrough.generate import (
    compute_options,
    control_options,
    guests,
    host_files,
    steps,
)
from nova_gpu_passthrough.generate.options import CloudOptions
from nova_gpu_passthrough.generate.targets import devstack, kolla, plain
from nova_gpu_passthrough.inventory.model import Inventory

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.flavors import FlavorPlan
    from nova_gpu_passthrough.fleet.resolve import Resolved

GUESTS_PATH = "etc/gpu-passthrough/guests.yaml"
_TARGETS = {
    Target.PLAIN: plain.files,
    Target.KOLLA: kolla.files,
    Target.DEVSTACK: devstack.files,
}


@dataclass(frozen=True)
class File:
    """A generated file."""

    #: The compute host's name, or `CONTROL`.
    host: str
    #: Below the host's root.
    path: str
    purpose: str
    #: With its seal.
    text: str

    def below(self, root: Path, alone: bool = False) -> Path:
        """Where it is in a tree.

        :param alone: whether the tree is of its host only, so has no directory for each host
        """
        return root / self.path if alone else root / self.host / self.path


@dataclass(frozen=True)
class Generated:
    """The files, those of the control plane first, and what else there is to know."""

    files: tuple[File, ...]
    notes: tuple[Note, ...]


def generate(inventories: Sequence[Inventory], settings: Settings, command: str = "") -> Generated:
    """All files for these hosts.

    :param command: what made them, on one line, for their heads; by default
        ``nova-gpu config generate`` with the settings
    :raises UserError: if the inventories or settings make no sense together
    """
    command = command or f"nova-gpu config generate {settings.arguments()}".strip()
    offers, notes = choose(inventories, settings)
    known, alias_notes = aliases.make(offers, settings.numa_policy)
    return _generate(offers, known, settings, command, [*notes, *alias_notes])


def generate_fleet(resolved: "Resolved", plan: "FlavorPlan", command: str) -> Generated:
    """All files for the hosts of a fleet.

    :param resolved: with the settings that are wanted
    :raises UserError: if no host of the fleet passes its GPUs through
    """
    if not resolved.offers:
        raise UserError(f"{resolved.file.path}: there is no group of mode passthrough")
    traits = groups.traits(resolved.file, resolved.offers, resolved.aliases, resolved.groups)
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
    offers: Sequence[Offer],
    known: Mapping[aliases.Key, aliases.Alias],
    settings: Settings,
    command: str,
    notes: list[Note],
    traits: Mapping[str, tuple[str, ...]] | None = None,
    flavors: Sequence[Flavor] | None = None,
) -> Generated:
    computes = {}
    for offer in offers:
        computes[offer.host], more = compute_options.make(offer, known, settings)
        notes += more
    placement, more = control_options.placement(offers, settings)
    notes += [*more, *_release_notes(settings), *_target_notes(settings, bool(traits))]
    cloud = CloudOptions(
        control_options.shared(known),
        control_options.scheduler(offers, known, settings),
        placement,
        computes,
        traits or {},
    )
    table = guests.table(offers, known, settings, flavors)
    drafts = [
        File(CONTROL, GUESTS_PATH, "flavors and images", table),
        File(CONTROL, steps.PATH, "what to do, in order", _control_steps(known, settings)),
    ]
    drafts += [File(*draft) for draft in _TARGETS[settings.target](cloud)]
    for offer in offers:
        made, more = host_files.make(offer, settings)
        notes += more
        drafts += [File(offer.host, *file) for file in made]
    files = [
        File(draft.host, draft.path, draft.purpose, writing.seal(draft.text, command))
        for draft in drafts
    ]
    files.sort(key=lambda file: (file.host != CONTROL, file.host, file.path))
    return Generated(tuple(files), tuple(notes))


def _control_steps(known: Mapping[aliases.Key, aliases.Alias], settings: Settings) -> str:
    classes = [alias.resource_class for alias in known.values()]
    return steps.control(settings.target, classes)


def _release_notes(settings: Settings) -> list[Note]:
    release = settings.release
    if settings.one_time_use and not release.one_time_use:
        return [
            Note(
                None,
                f"one_time_use is left out: Nova {release.nova} ({release.series}) does not know "
                "it, Nova 32 (2025.2) is the first that does",
            )
        ]
    if settings.one_time_use:
        return [
            Note(
                None,
                "one_time_use: Nova leaves a GPU reserved in Placement after its server; somebody "
                "has to clean it and set reserved to 0",
            )
        ]
    return []


def _target_notes(settings: Settings, with_traits: bool) -> list[Note]:
    if settings.target is Target.KOLLA:
        host_vars = "Kolla: copy etc/kolla/host_vars into the directory of your inventory"
        return [
            *([Note(None, host_vars)] if with_traits else []),
            Note(
                None,
                "Kolla: the images of nova-scheduler and nova-api must contain "
                "nova-gpu-passthrough; a value in a later override file replaces all values of the "
                "same option in earlier ones",
            ),
        ]
    if settings.target is Target.DEVSTACK:
        return [
            Note(None, "DevStack: append the fragments to local.conf on the machine they are for")
        ]
    return []
