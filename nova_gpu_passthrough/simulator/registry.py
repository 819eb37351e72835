# SPDX-License-Identifier: Apache-2.0
"""Load rankers by name.

A name is looked up under the entry point namespace ``nova_gpu_passthrough.rankers`` first, and then
among the policies of nova-scheduler, which need no ranker of their own. Other packages may add to
both. A ranker is created without arguments for every replay; one that needs a package which is not
installed raises `UserError` when it is created.
"""

from importlib import metadata
from typing import Any

from stevedore import NamedExtensionManager

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.policies.base import NAMESPACE as POLICIES
from nova_gpu_passthrough.simulator.ranker import Ranker
from nova_gpu_passthrough.simulator.rankers.policy import ranker_of

RANKERS = "nova_gpu_passthrough.rankers"


def names() -> list[str]:
    """Return the names of all installed rankers and policies."""
    return sorted(
        {name for group in (RANKERS, POLICIES) for name in metadata.entry_points(group=group).names}
    )


def load(name: str) -> Ranker:
    """Create the ranker that is installed as ``name``.

    :raises UserError: if there is none, or it needs something that is not installed
    """
    ranker_class = _load(RANKERS, name)
    if ranker_class is not None:
        ranker: Ranker = ranker_class()
        return ranker
    policy_class = _load(POLICIES, name)
    if policy_class is not None:
        return ranker_of(policy_class())
    raise UserError(
        f"ranker {name} is not known, expected one of: {', '.join(names()) or 'none is installed'}"
    )


def _load(namespace: str, name: str) -> Any:
    """Return the class that is registered under the name, if there is one."""
    errors: list[BaseException] = []
    # Load only this entry point: others may import Nova, which takes seconds.
    manager: NamedExtensionManager[Any] = NamedExtensionManager(
        namespace,
        [name],
        on_load_failure_callback=lambda _manager, _point, error: errors.append(error),
        on_missing_entrypoints_callback=lambda _names: None,
    )
    if errors:
        raise UserError(f"ranker {name} cannot be loaded: {errors[0]}; install what it needs")
    return manager[name].plugin if name in manager else None
