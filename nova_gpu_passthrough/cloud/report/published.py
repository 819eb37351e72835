# SPDX-License-Identifier: Apache-2.0
"""Read what was published of a cloud's free GPUs: a public report, or metrics of the exporter.

A tenant's answer depends on it, and whoever publishes it may be anyone: it is limited in size and
time, and nothing in it is executed.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from nova_gpu_passthrough import waiting
from nova_gpu_passthrough.cloud import failures
from nova_gpu_passthrough.cloud.report import availability
from nova_gpu_passthrough.cloud.report.availability import flavor_key
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading

#: Seconds for the whole response.
TIMEOUT = 30
_CHUNK = 65536
_SERVERS = "nova_gpu_flavor_servers_possible"
_EXACT = "nova_gpu_flavor_exact"
_READ_AT = "nova_gpu_read_timestamp_seconds"


@dataclass(frozen=True)
class FittingServers:
    """How many more servers of a flavor fit in the cloud."""

    servers: int
    exact: bool = True
    #: Further servers on hosts that only some of the projects with access may use.
    reserved: int = 0


@dataclass(frozen=True)
class PublishedFleet:
    """How many more servers of each flavor fit in the cloud, at one moment."""

    taken_at: datetime.datetime
    #: By `flavor_key` of the flavor's id, or by name.
    flavors: Mapping[str, FittingServers] = field(default_factory=dict)
    #: Whether servers were counted, which needs a fleet file.
    counted: bool = True

    def fitting(self, flavor: CloudFlavor) -> FittingServers | None:
        """Return what was published of a flavor; None if nothing was."""
        return self.flavors.get(flavor_key(flavor.id)) or self.flavors.get(flavor.name)


def load(source: str) -> PublishedFleet:
    """Read a page, a document or metrics.

    :param source: an address (``http://`` or ``https://``), or the path of a file
    :raises UserError: if it cannot be read, or is none of these
    """
    is_address = source.startswith(("http://", "https://"))
    text = _fetch(source) if is_address else reading.read_text(Path(source))
    if text.startswith(("# HELP ", "nova_gpu_")):
        return _of_metrics(text, source)
    found = availability.parse(text, source)
    return PublishedFleet(
        datetime.datetime.fromisoformat(found.taken_at),
        {
            each.key: FittingServers(each.servers, each.exact, each.reserved_servers)
            for each in found.flavors or ()
        },
        found.flavors is not None,
    )


def _of_metrics(text: str, source: str) -> PublishedFleet:
    samples: dict[str, dict[str, float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                samples.setdefault(sample.name, {})[labels.get("flavor", "")] = sample.value
        taken_at = datetime.datetime.fromtimestamp(samples[_READ_AT][""], datetime.UTC)
    except (ValueError, KeyError, OverflowError, OSError):
        raise UserError(f"{source}: expected metrics that nova-gpu metrics wrote") from None
    exact = samples.get(_EXACT, {})
    return PublishedFleet(
        taken_at,
        {
            name: FittingServers(int(value), bool(exact.get(name, 1)))
            for name, value in samples.get(_SERVERS, {}).items()
        },
        _SERVERS in samples,
    )


def _fetch(url: str) -> str:
    """Return the text at an address.

    :raises UserError: if there is none, or it is too long or too slow
    """
    try:
        data = waiting.limited(
            lambda: _download(url),
            TIMEOUT,
            lambda waited: waiting.notify(f"waiting for {url}: no response for {waited:g} s"),
        )
        return data.decode()
    except UnicodeDecodeError:
        raise UserError(f"{url}: not valid UTF-8; is the address right?") from None
    except (TimeoutError, requests.Timeout):
        raise UserError(f"{url} did not respond within {TIMEOUT} seconds") from None
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{url} cannot be read: {failures.system_reason(error)}") from None


def _download(url: str) -> bytes:
    data = b""
    with requests.get(url, timeout=TIMEOUT, stream=True) as response:
        if response.status_code != requests.codes.ok:
            status = f"{response.status_code} {response.reason}".strip()
            raise UserError(f"{url} responds with {status}; is the address right?")
        for chunk in response.iter_content(_CHUNK):
            data += chunk
            if len(data) > reading.MAX_BYTES:
                limit = reading.MAX_BYTES // 2**20
                raise UserError(f"{url} has more than {limit} MiB; is the address right?")
    return data
