# SPDX-License-Identifier: Apache-2.0
"""Files with traits of a compute node's own resource provider, which nova-compute reads.

The format is that of doc/source/admin/managing-resource-providers.rst in Nova's tree, the schema
in nova/compute/provider_config.py. No two files may name the same provider.
"""

from collections.abc import Iterable
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.generate.service_options import comment

#: In the directory of ``[compute] provider_config_location``, by default.
PATH = "etc/nova/provider_config/gpu-passthrough.yaml"
PURPOSE = "traits of the host for flavors of its group"
_HEADING = """\
Traits that restrict flavors to host groups of the fleet file. {reader}

If another file names $COMPUTE_NODE, add the traits to it: two files must not name one provider.
"""


def plain(traits: Iterable[str]) -> str:
    """Render the file that nova-compute reads."""
    heading = _HEADING.format(reader="nova-compute reads it when it starts.")
    return comment(heading.strip()) + documents.dump(_document(traits))


def kolla(traits: Iterable[str]) -> str:
    """Render the variables of a host in Kolla-Ansible's inventory (its nova-guide.rst)."""
    heading = _HEADING.format(reader="For host_vars of this host in Kolla's inventory.")
    variables = {"nova_cell_compute_provider_config": _document(traits)}
    return comment(heading.strip()) + documents.dump(variables)


def _document(traits: Iterable[str]) -> dict[str, Any]:
    provider = {
        "identification": {"uuid": "$COMPUTE_NODE"},
        "traits": {"additional": list(traits)},
    }
    return {"meta": {"schema_version": "1.0"}, "providers": [provider]}
