# SPDX-License-Identifier: Apache-2.0
"""What went wrong with a cloud, in one sentence: what, where, how to fix it.

Openstacksdk and keystoneauth have some sixty exceptions, whose messages are made for developers.
All of them end here. No sentence holds a password or a token.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from keystoneauth1.access import AccessInfo
    from openstack.connection import Connection


#: What people call the services, by type in the catalogue.
_NAMES = {
    "compute": "Nova",
    "identity": "Keystone",
    "image": "Glance",
    "network": "Neutron",
    "placement": "Placement",
}


@contextlib.contextmanager
def translated(
    role: str = "admin", connection: Callable[[], "Connection | None"] = lambda: None
) -> Iterator[None]:
    """Raise UserError for whatever openstacksdk, keystoneauth and requests raise.

    :param role: the role in Keystone that the work needs, for who lacks it
    :param connection: gives the connection, once there is one
    :raises UserError: with one sentence; other exceptions pass unchanged
    """
    failed: Exception | None = None
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        failed = error
    if failed is None:
        return
    # Nothing of openstacksdk is imported until something failed. It is told outside of the handler,
    # so that what goes wrong in the telling is not taken for the cause.
    text = sentence(failed, role, connection())
    if text is None:
        raise failed
    raise UserError(text) from failed


def sentence(
    error: BaseException, role: str = "admin", connection: "Connection | None" = None
) -> str | None:
    """What to tell of an exception; None for one that has nothing to do with a cloud."""
    import keystoneauth1.exceptions as ksa
    import requests
    from openstack import exceptions as sdk

    if type(error) is Exception and "is a required attribute" in str(error):
        # keystoneauth1/identity/generic/password.py
        cloud = _Cloud(connection)
        return f"{cloud.name} lacks {str(error).split()[0]}: see its key auth"
    if not isinstance(error, ksa.ClientException | sdk.SDKException | requests.RequestException):
        return None
    cloud = _Cloud(connection)
    found = _answered(error, role, cloud) or _not_found(error, cloud) or _unreachable(error, cloud)
    return clean(found or f"{cloud.name}: {words(error)}")


def _answered(error: BaseException, role: str, cloud: "_Cloud") -> str | None:
    """What a service answered."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "http_status", None)
    if not isinstance(status, int) or status < 400:
        return None
    url = str(getattr(response, "url", "") or getattr(error, "url", "") or "")
    service = cloud.service_at(url)
    detail = detail_of(response) or words(error)
    number = getattr(error, "request_id", None)
    request = f" (request {number})" if number else ""
    method = getattr(getattr(response, "request", None), "method", None)
    what = f"{method} {url}" if method else url
    # Keystone cannot find a token that is none, or none any more.
    if status == 401 or (status == 404 and cloud.uses_token and url.endswith("/auth/tokens")):
        return _unauthorized(service, url, cloud)
    if status == 403:
        return _forbidden(f"{service} refused {what}: {detail}", role, cloud)
    if status == 406:
        return f"{service} at {url} is too old for this command: {detail}"
    if status in (502, 503, 504):
        return f"{service} at {url} is not available just now ({status}): {detail}"
    if status >= 500:
        return f"{service} failed at {what} ({status}){request}: {detail}; its log tells more"
    return f"{service} refused {what} ({status}){request}: {detail}"


def _unauthorized(service: str, url: str, cloud: "_Cloud") -> str:
    if cloud.uses_token:
        return (
            f"{service} at {url} does not accept the token of {cloud.name}: it has expired or was "
            "revoked; get a new one with: openstack token issue"
        )
    if service == _NAMES["identity"] or not cloud.known:
        return (
            f"{service} at {url} does not let {cloud.user} in: name, password, domain or project "
            f"of {cloud.name} is wrong, or one of them is disabled"
        )
    return (
        f"{service} at {url} does not accept a token that Keystone has just given to {cloud.user}: "
        f"see [keystone_authtoken] in {service}'s configuration"
    )


def _forbidden(what: str, role: str, cloud: "_Cloud") -> str:
    access = cloud.access
    if access is None:
        return f"{cloud.user} lacks the role {role} ({what})"
    names = access.role_names or []
    roles = ", ".join(names) or "no role"
    where = f"in project {access.project_name}" if access.project_name else "outside any project"
    if role in names and access.project_name:
        return f"{cloud.user} may not do this although it has {roles} {where} ({what})"
    return f"this takes the role {role} in a project, and {cloud.user} has {roles} {where} ({what})"


def _not_found(error: BaseException, cloud: "_Cloud") -> str | None:
    """Endpoints and API versions that are not there."""
    import keystoneauth1.exceptions as ksa
    from openstack import exceptions as sdk

    if isinstance(
        error, ksa.EndpointNotFound | sdk.EndpointNotFound | sdk.ServiceDisabledException
    ):
        region, regions = cloud.region, cloud.regions
        if region and regions and region not in regions:
            return (
                f"{cloud.name} has no region {region!r}: its catalogue has {', '.join(regions)}; "
                "see --os-region-name"
            )
        kind = _service_type(error)
        what = f"no endpoint of {_NAMES.get(kind, kind)}" if kind else "no such endpoint"
        where = f" for region {region!r}" if region else ""
        return (
            f"the catalogue of {cloud.name} has {what}{where} and interface "
            f"{', '.join(cloud.interfaces)}: "
            "see openstack catalog list"
        )
    if isinstance(error, sdk.NotSupported):
        # Openstacksdk says so of services, too, that gave no answer.
        kind = _service_type(error)
        name, why = _NAMES.get(kind, kind), words(error)
        return cloud.unavailable(kind) or f"{name} of {cloud.name} is too old for this: {why}"
    return None


def _unreachable(error: BaseException, cloud: "_Cloud") -> str | None:
    """Services that gave no answer."""
    import keystoneauth1.exceptions as ksa
    import requests

    for cause in chain(error):
        if isinstance(cause, ksa.ConnectionError | requests.ConnectionError | requests.Timeout):
            url = url_of(cause) or url_of(error)
            service = cloud.service_at(url) if url else "the cloud"
            place = f"{service} at {url}" if url else f"{service} {cloud.name}"
            why = reason(cause)
            if isinstance(cause, ksa.SSLError):
                return (
                    f"{place}: no secure connection: {why}; see --os-cacert, cacert in clouds.yaml"
                )
            return f"{place} cannot be reached: {why}"
        if isinstance(cause, requests.JSONDecodeError | ksa.InvalidResponse):
            url = getattr(getattr(cause, "response", None), "url", None) or url_of(error)
            return f"{url or cloud.name} does not answer as OpenStack does: is the URL right?"
    if isinstance(error, ksa.DiscoveryFailure):
        return f"{cloud.auth_url or cloud.name} does not answer as Keystone does: is the URL right?"
    return None


class _Cloud:
    """What the sentences need to know of a connection, as far as it is known."""

    def __init__(self, connection: "Connection | None") -> None:
        self._connection = connection
        self.known = connection is not None
        config: Mapping[str, Any] = connection.config.config if connection else {}
        self._auth: Mapping[str, Any] = config.get("auth") or {}
        name = connection.config.name if connection else ""
        self.auth_url = str(self._auth.get("auth_url") or "")
        usual = ("", "envvars", "defaults")
        self.name = f"cloud {name}" if name not in usual else self.auth_url or "the cloud"
        self.uses_token = "token" in str(config.get("auth_type") or "")
        self.region = str(config.get("region_name") or "")
        interface = config.get("interface") or "public"
        self.interfaces = [interface] if isinstance(interface, str) else list(interface)
        user = self._auth.get("username") or self._auth.get("user_id")
        credential = self._auth.get("application_credential_id")
        self.user = (
            f"user {user}"
            if user
            else f"application credential {credential}"
            if credential
            else "the user"
        )

    def service_at(self, url: str) -> str:
        """Whose URL that is."""
        if self.auth_url and url.startswith(self.auth_url.rstrip("/")):
            return _NAMES["identity"]
        for entry in self._catalog:
            for endpoint in entry.get("endpoints", ()):
                if url.startswith(str(endpoint.get("url")).rstrip("/")):
                    kind = str(entry.get("type"))
                    return _NAMES.get(kind, kind)
        return "the service"

    def unavailable(self, kind: str) -> str | None:
        """Why a service gives no answer, by asking it again; None if it gives one."""
        urls = [
            str(endpoint["url"])
            for entry in self._catalog
            if entry.get("type") == kind
            for endpoint in entry.get("endpoints", ())
            if endpoint.get("interface") in self.interfaces
            and self.region in ("", endpoint.get("region_id"))
        ]
        if not urls or self._connection is None:
            return None
        try:
            self._connection.session.get(urls[0], authenticated=False)
        except Exception as error:
            return sentence(error, connection=self._connection)
        return None

    @property
    def regions(self) -> list[str]:
        """All regions of the catalogue."""
        return sorted(
            {
                str(endpoint.get("region_id") or endpoint.get("region") or "")
                for entry in self._catalog
                for endpoint in entry.get("endpoints", ())
            }
            - {""}
        )

    @property
    def access(self) -> "AccessInfo | None":
        """What Keystone said of the user, if it was asked; it is not asked now."""
        auth: Any = self._connection.session.auth if self._connection else None
        found: AccessInfo | None = getattr(auth, "auth_ref", None)
        # A generic plug-in keeps it in the plug-in of the version that it found.
        return found or getattr(getattr(auth, "_plugin", None), "auth_ref", None)

    @property
    def _catalog(self) -> list[Mapping[str, Any]]:
        access = self.access
        return list(access.service_catalog.catalog) if access else []


def _service_type(error: BaseException) -> str:
    """The type in the catalogue that a message is about: "The placement service for ..."."""
    found = re.search(r"[Tt]he ([a-z-]+) service|(?:for|[Ss]ervice) '?([a-z-]+)'?", str(error))
    return found[1] or found[2] if found else ""


_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
#: Longer than any sentence of a service; a page of HTML is not told.
_MOST = 600


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it, the outermost first.

    Requests and urllib3 hold what they failed by in their arguments, or as a reason.
    """
    todo: list[Any] = [error]
    seen: list[BaseException] = []
    while todo:
        cause = todo.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            todo += [cause.__cause__ or cause.__context__, getattr(cause, "reason", None)]
            todo += cause.args


def reason(error: BaseException) -> str:
    """The system's own word, such as "Connection refused"."""
    import requests

    causes = list(chain(error))
    for cause in reversed(causes):
        if (
            isinstance(cause, OSError)
            and cause.strerror
            and not isinstance(cause, requests.RequestException)
        ):
            return cause.strerror
    if any("timed out" in str(cause).lower() for cause in causes):
        return "it gave no answer in time"
    return words(causes[-1])


def url_of(error: BaseException) -> str:
    """What was asked for, if an exception or a message on the way tells; else nothing."""
    for cause in chain(error):
        asked = getattr(getattr(cause, "request", None), "url", None)
        if asked:
            return str(asked)
        found = re.search(r"https?://[^\s'\",;)]+", str(cause))
        if found:
            return found[0].rstrip(":.")
    return ""


def detail_of(response: Any) -> str:
    """What a service says of the reason, or nothing.

    Nova: ``{"forbidden": {"message": ...}}``, Placement: ``{"errors": [{"detail": ...}]}``,
    Keystone: ``{"error": {"message": ...}}``.
    """
    try:
        body = response.json()
    except (AttributeError, ValueError):
        return ""
    parts = list(body.values()) if isinstance(body, dict) else []
    for part in parts:
        first = part[0] if isinstance(part, list) and part else part
        if isinstance(first, dict):
            text = first.get("message") or first.get("detail") or first.get("title")
            if text:
                return " ".join(str(text).split())
    return ""


def words(error: BaseException) -> str:
    """The message on one line, or the kind of exception."""
    return " ".join(str(error).split()) or type(error).__name__


def clean(text: str) -> str:
    """Without line breaks, secrets and pages of HTML."""
    from oslo_utils import strutils

    text = " ".join(_LOGIN.sub("", strutils.mask_password(text)).split())
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
