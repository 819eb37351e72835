# SPDX-License-Identifier: Apache-2.0
"""Describe errors of a cloud in one sentence: what failed, where, and how to fix it.

Openstacksdk and keystoneauth raise some sixty exceptions, whose messages are written for
developers. This module turns all of them into messages for users, without passwords and tokens.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from keystoneauth1.access import AccessInfo
    from openstack.connection import Connection


#: Names of services by their type in the catalogue.
_SERVICE_NAMES = {
    "compute": "Nova",
    "identity": "Keystone",
    "image": "Glance",
    "network": "Neutron",
    "placement": "Placement",
}
#: Keystone's default roles, each implied by the next.
_ROLES = ("reader", "member", "manager", "admin")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
#: Most characters of a message: more than any service's sentence, less than a page of HTML.
_MAX_LENGTH = 600


@contextlib.contextmanager
def as_user_errors(
    role: str = "admin", connection: Callable[[], "Connection | None"] = lambda: None
) -> Iterator[None]:
    """Raise UserError in place of exceptions of openstacksdk, keystoneauth and requests.

    :param role: the role in Keystone that the work needs
    :param connection: returns the connection, once there is one
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
    # Openstacksdk is imported only after a failure. This is outside of the handler, so that its own
    # errors do not get the failure as their context.
    text = error_text(failed, role, connection())
    if text is None:
        raise failed
    raise UserError(text) from failed


def error_text(
    error: BaseException, role: str = "admin", connection: "Connection | None" = None
) -> str | None:
    """Return the message for an exception; None if it is not an error of a cloud."""
    import keystoneauth1.exceptions as ksa
    import requests
    from openstack import exceptions as sdk

    if type(error) is Exception and "is a required attribute" in str(error):
        # keystoneauth1/identity/generic/password.py
        context = _ErrorContext(connection)
        return f"{context.cloud} lacks {str(error).split()[0]}: see its key auth"
    if not isinstance(error, ksa.ClientException | sdk.SDKException | requests.RequestException):
        return None
    context = _ErrorContext(connection)
    text = (
        _response_text(error, role, context)
        or _not_found_text(error, context)
        or _unreachable_text(error, context)
    )
    return _sanitize(text or f"{context.cloud}: {_message(error)}")


def service_at(connection: "Connection", url: str) -> str:
    """Return the name of the service at a URL, as far as it is known without a request."""
    return _ErrorContext(connection).service_at(url)


def _response_text(error: BaseException, role: str, context: "_ErrorContext") -> str | None:
    """Describe an error response of a service."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "http_status", None)
    if not isinstance(status, int) or status < 400:
        return None
    url = str(getattr(response, "url", "") or getattr(error, "url", "") or "")
    service = context.service_at(url)
    detail = response_detail(response) or _message(error)
    request_id = getattr(error, "request_id", None)
    request = f" (request {request_id})" if request_id else ""
    method = getattr(getattr(response, "request", None), "method", None)
    target = f"{method} {url}" if method else url
    # Keystone does not find a token that never existed, or that has expired.
    if status == 401 or (status == 404 and context.uses_token and url.endswith("/auth/tokens")):
        return _unauthorized_text(service, url, context)
    if status == 403:
        return _forbidden_text(f"{service} refused {target}: {detail}", role, context)
    if status == 406:
        return f"{service} at {url} is too old for this command: {detail}"
    if status in (502, 503, 504):
        return f"{service} at {url} is not available at the moment ({status}): {detail}"
    if status >= 500:
        return f"{service} failed at {target} ({status}){request}: {detail}; see its log"
    return f"{service} refused {target} ({status}){request}: {detail}"


def _unauthorized_text(service: str, url: str, context: "_ErrorContext") -> str:
    if context.uses_token:
        return (
            f"{service} at {url} does not accept the token of {context.cloud}: it has expired or "
            "was revoked; get a new one with: openstack token issue"
        )
    if service == _SERVICE_NAMES["identity"] or not context.has_connection:
        return (
            f"{service} at {url} does not authenticate {context.user}: name, password, domain or "
            f"project of {context.cloud} is wrong, or one of them is disabled"
        )
    return (
        f"{service} at {url} does not accept a token that Keystone has just issued to "
        f"{context.user}: see [keystone_authtoken] in {service}'s configuration"
    )


def _forbidden_text(refusal: str, role: str, context: "_ErrorContext") -> str:
    access = context.access
    if access is None:
        return f"needs role {role}; {context.user} does not have it ({refusal})"
    names = sorted(access.role_names or [], key=_rank)
    roles = ", ".join(names) or "no role"
    if not access.project_name:
        return f"needs role {role} in a project; {context.user} has {roles} outside any ({refusal})"
    if role in names:
        return (
            f"{context.user} has role {role} in project {access.project_name}, but {refusal}: "
            "see the policy of that service"
        )
    has = f"only {roles}" if names else roles
    where = f"in project {access.project_name}"
    return f"needs role {role}; {context.user} has {has} {where} ({refusal})"


def _rank(role: str) -> tuple[int, str]:
    """Order Keystone's default roles by what they permit, and others after them by name."""
    return (_ROLES.index(role) if role in _ROLES else len(_ROLES), role)


def _not_found_text(error: BaseException, context: "_ErrorContext") -> str | None:
    """Describe a missing endpoint or API version."""
    import keystoneauth1.exceptions as ksa
    from openstack import exceptions as sdk

    if isinstance(
        error, ksa.EndpointNotFound | sdk.EndpointNotFound | sdk.ServiceDisabledException
    ):
        region, regions = context.region, context.regions
        if region and regions and region not in regions:
            return (
                f"{context.cloud} has no region {region!r}: its catalogue has "
                f"{', '.join(regions)}; see --os-region-name"
            )
        service = _service_type(error)
        endpoint = (
            f"no endpoint of {_SERVICE_NAMES.get(service, service)}"
            if service
            else "no such endpoint"
        )
        where = f" for region {region!r}" if region else ""
        return (
            f"the catalogue of {context.cloud} has {endpoint}{where} and interface "
            f"{', '.join(context.interfaces)}: see openstack catalog list"
        )
    if isinstance(error, sdk.NotSupported):
        # Openstacksdk raises this also for services that did not respond.
        service = _service_type(error)
        name = _SERVICE_NAMES.get(service, service)
        too_old = f"{name} of {context.cloud} is too old for this: {_message(error)}"
        return context.unavailable_text(service) or too_old
    return None


def _unreachable_text(error: BaseException, context: "_ErrorContext") -> str | None:
    """Describe a service that did not respond, or that is not OpenStack's."""
    import keystoneauth1.exceptions as ksa
    import requests

    for cause in cause_chain(error):
        if isinstance(cause, ksa.ConnectionError | requests.ConnectionError | requests.Timeout):
            url = failed_url(cause) or failed_url(error)
            service = context.service_at(url) if url else "the cloud"
            where = f"{service} at {url}" if url else f"{service} {context.cloud}"
            reason = system_reason(cause)
            if isinstance(cause, ksa.SSLError):
                return (
                    f"{where}: no secure connection: {reason}; see --os-cacert, and cacert in "
                    "clouds.yaml"
                )
            return f"{where} cannot be reached: {reason}"
        if isinstance(cause, requests.JSONDecodeError | ksa.InvalidResponse):
            url = getattr(getattr(cause, "response", None), "url", None) or failed_url(error)
            return f"{url or context.cloud} does not respond as OpenStack does: is the URL right?"
    if isinstance(error, ksa.DiscoveryFailure):
        where = context.auth_url or context.cloud
        return f"{where} does not respond as Keystone does: is the URL right?"
    return None


class _ErrorContext:
    """What messages say about a connection: cloud, user, region, services."""

    def __init__(self, connection: "Connection | None") -> None:
        self._connection = connection
        self.has_connection = connection is not None
        config: Mapping[str, Any] = connection.config.config if connection else {}
        self._auth: Mapping[str, Any] = config.get("auth") or {}
        name = connection.config.name if connection else ""
        self.auth_url = str(self._auth.get("auth_url") or "")
        unnamed = name in ("", "envvars", "defaults")
        self.cloud = (self.auth_url or "the cloud") if unnamed else f"cloud {name}"
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
        """Return the name of the service at a URL."""
        if self.auth_url and url.startswith(self.auth_url.rstrip("/")):
            return _SERVICE_NAMES["identity"]
        for entry in self._catalog:
            for endpoint in entry.get("endpoints", ()):
                if url.startswith(str(endpoint.get("url")).rstrip("/")):
                    service = str(entry.get("type"))
                    return _SERVICE_NAMES.get(service, service)
        return "the service"

    def unavailable_text(self, service: str) -> str | None:
        """Send a request to a service and describe the failure; None if it succeeds.

        :param service: its type in the catalogue
        """
        urls = [
            str(endpoint["url"])
            for entry in self._catalog
            if entry.get("type") == service
            for endpoint in entry.get("endpoints", ())
            if endpoint.get("interface") in self.interfaces
            and self.region in ("", endpoint.get("region_id"))
        ]
        if not urls or self._connection is None:
            return None
        try:
            self._connection.session.get(urls[0], authenticated=False)
        except Exception as error:
            return error_text(error, connection=self._connection)
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
        """Keystone's response to the authentication, if there was one; sends no request."""
        auth: Any = self._connection.session.auth if self._connection else None
        access: AccessInfo | None = getattr(auth, "auth_ref", None)
        # A generic plug-in keeps it in the plug-in of the API version that it discovered.
        return access or getattr(getattr(auth, "_plugin", None), "auth_ref", None)

    @property
    def _catalog(self) -> list[Mapping[str, Any]]:
        access = self.access
        return list(access.service_catalog.catalog) if access else []


def _service_type(error: BaseException) -> str:
    """Return the service type that a message names: "The placement service for ..."."""
    match = re.search(r"[Tt]he ([a-z-]+) service|(?:for|[Ss]ervice) '?([a-z-]+)'?", str(error))
    return match[1] or match[2] if match else ""


def cause_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, the outermost first.

    Requests and urllib3 keep the cause in their arguments, or in the attribute reason.
    """
    todo: list[Any] = [error]
    visited: list[BaseException] = []
    while todo:
        cause = todo.pop(0)
        if isinstance(cause, BaseException) and cause not in visited:
            visited.append(cause)
            yield cause
            todo += [cause.__cause__ or cause.__context__, getattr(cause, "reason", None)]
            todo += cause.args


def system_reason(error: BaseException) -> str:
    """Return the operating system's reason of a failure, such as "Connection refused"."""
    import requests

    from nova_gpu_passthrough.cloud.time_limit import ResponseLimitError

    causes = list(cause_chain(error))
    for cause in causes:
        if isinstance(cause, ResponseLimitError):
            return str(cause)
    for cause in reversed(causes):
        if (
            isinstance(cause, OSError)
            and cause.strerror
            and not isinstance(cause, requests.RequestException)
        ):
            return cause.strerror
    if any("timed out" in str(cause).lower() for cause in causes):
        return "it did not respond in time"
    return _message(causes[-1])


def failed_url(error: BaseException) -> str:
    """Return the URL of a failed request, from the exception or its causes; "" if unknown."""
    for cause in cause_chain(error):
        url = getattr(getattr(cause, "request", None), "url", None)
        if url:
            return str(url)
        match = re.search(r"https?://[^\s'\",;)]+", str(cause))
        if match:
            return match[0].rstrip(":.")
    return ""


def response_detail(response: Any) -> str:
    """Return the reason that an error response gives; "" if it gives none.

    Nova: ``{"forbidden": {"message": ...}}``, Placement: ``{"errors": [{"detail": ...}]}``,
    Keystone: ``{"error": {"message": ...}}``.
    """
    try:
        body = response.json()
    except (AttributeError, ValueError):
        return ""
    values = list(body.values()) if isinstance(body, dict) else []
    for value in values:
        fault = value[0] if isinstance(value, list) and value else value
        if isinstance(fault, dict):
            text = fault.get("message") or fault.get("detail") or fault.get("title")
            if text:
                return " ".join(str(text).split())
    return ""


def _message(error: BaseException) -> str:
    """Return an exception's message on one line, or the name of its class."""
    return " ".join(str(error).split()) or type(error).__name__


def _sanitize(text: str) -> str:
    """Remove line breaks and secrets, and shorten pages of HTML."""
    from oslo_utils import strutils

    text = " ".join(_LOGIN.sub("", strutils.mask_password(text)).split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."
