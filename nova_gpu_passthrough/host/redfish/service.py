# SPDX-License-Identifier: Apache-2.0
"""Connection to a management controller's Redfish service, through sushy.

sushy handles the service root, TLS and the login (a session, else HTTP basic). Resources are read
as plain JSON through its connector: its classes have no PowerControl and none of the resources
that replaced Power and Thermal, and round thresholds down to whole degrees.
"""

import contextlib
import netrc
import os
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading
from nova_gpu_passthrough.host.redfish import failures
from nova_gpu_passthrough.host.redfish.readings import Document, child, link, objects

#: Timeouts of one request: to connect, and to wait for more of the response.
CONNECT_SECONDS = 4
READ_SECONDS = 8
#: No further resource is requested after this time.
REQUEST_SECONDS = 16

_USERNAME, _PASSWORD = "REDFISH_USERNAME", "REDFISH_PASSWORD"
_EXPAND = "?$expand=.($levels=1)"


@dataclass(frozen=True, slots=True)
class Login:
    """An account of the management controller."""

    name: str
    password: str = field(repr=False)


class _NoLogin:
    """An authentication for sushy that sends no login, for services that need none."""

    def set_context(self, root: object, connector: object) -> None:
        """Do nothing."""

    def authenticate(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def base_url(url: str) -> str:
    """Return the service's address: scheme, host and port.

    :raises UserError: if the URL is no such address, or contains a password
    """
    try:
        split = urllib.parse.urlsplit(url)
        host, _ = split.hostname, split.port
        (host or "").encode("idna")
    except ValueError:
        split, host = urllib.parse.SplitResult("", "", "", "", ""), None
    if "@" in url:
        raise UserError(
            "--redfish: the URL must not contain name and password, since other users can see it; "
            f"set {_USERNAME} and {_PASSWORD}"
        )
    bare = split.path.rstrip("/") in ("", "/redfish", "/redfish/v1")
    if split.scheme not in ("https", "http") or not host or not bare or split.query:
        raise UserError(
            f"--redfish {url!r}: expected the address of a management controller, such as "
            "https://bmc.example"
        )
    return f"{split.scheme}://{split.netloc}"


def find_login(url: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """Return the login from the environment, else from netrc; None if neither has one.

    :param url: from `base_url`
    :raises UserError: if only one of the two variables is set, or netrc cannot be used
    """
    name, password = environment.get(_USERNAME), environment.get(_PASSWORD)
    if name and password:
        return Login(name, password)
    if name or password:
        given, missing = (_USERNAME, _PASSWORD) if name else (_PASSWORD, _USERNAME)
        raise UserError(f"{given} is set and {missing} is not: set both, or none to use netrc")
    # curl and requests use NETRC, too.
    file = environment.get("NETRC") or None
    try:
        path = Path(file or "~/.netrc").expanduser()
        if path.exists():
            reading.read_bytes(path)
        entry = netrc.netrc(file).authenticators(urllib.parse.urlsplit(url).hostname or "")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, netrc.NetrcParseError):
        # Their messages may quote the file.
        raise UserError(
            f"{file or '~/.netrc'}: cannot be used; it must have netrc's format and be readable by "
            f"its owner only, or set {_USERNAME} and {_PASSWORD}"
        ) from None
    return Login(entry[0], entry[2] or "") if entry and entry[0] else None


class RedfishService:
    """A session with a Redfish service; leaving the context logs out.

    :param url: from `base_url`
    :param verify: False, or a file with trusted certificates (PEM); True: the system's
    :raises UserError: if sushy is not installed, the service cannot be reached or verified, rejects
        the login or is no Redfish service
    """

    def __init__(self, url: str, login: Login | None, verify: bool | str) -> None:
        try:
            import sushy
            from sushy import auth, connector
        except ImportError:
            raise UserError(
                "--redfish needs the library sushy: pip install nova-gpu-passthrough[redfish]"
            ) from None
        if login and url.startswith("http://") and verify is not False:
            raise UserError(
                f"{url}: http would send the password unencrypted; use https, or "
                "--redfish-insecure on a network that you trust"
            )
        if isinstance(verify, str):
            _check_certificates(verify)
        self.url = url
        #: Problems of resources that exist and could not be read, by path.
        self.notes: dict[str, str] = {}
        self._login = login
        self._documents: dict[str, Document | None] = {}
        self._deadline = time.monotonic() + REQUEST_SECONDS
        self._connector = connector.Connector(
            url,
            verify=verify,
            # Only one attempt: a person is waiting, and can run the command again.
            server_side_retries=1,
            server_side_retries_delay=0,
            default_request_timeout=READ_SECONDS,
            connect_timeout=CONNECT_SECONDS,
        )
        self._auth: Any = (
            auth.SessionOrBasicAuth(login.name, login.password) if login else _NoLogin()
        )
        with self._user_errors("/redfish/v1/"):
            # Kept, since sushy logs out when the object is deleted.
            self._sushy = sushy.Sushy(url, auth=self._auth, connector=self._connector)
            self.root: Document = dict(self._sushy.json)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session: controllers allow few, and keep open ones for half an hour."""
        from sushy import exceptions

        with contextlib.suppress(exceptions.SushyError):
            self._auth.close()
        self._connector.close()

    def required(self, path: str) -> Document:
        """Read a resource that the audit cannot do without.

        :raises UserError: if it cannot be read
        """
        with self._user_errors(path):
            return self._get(path)

    def document(self, path: str) -> Document | None:
        """Read an optional resource; failures other than its absence leave a note."""
        if path not in self._documents:
            self._documents[path] = self._read_optional(path)
        return self._documents[path]

    def members(self, path: str) -> Iterator[Document]:
        """Read the members of a collection: in one response if the service supports it."""
        page: str | None = path
        pages = set()
        while page and page not in pages:
            pages.add(page)
            collection = self._expanded(page) or self.document(page) or {}
            for member in objects(collection, "Members"):
                if len(member) > 1:
                    yield member
                elif (single := link({"": member}, "")) and (document := self.document(single)):
                    yield document
            page = link({"": {"@odata.id": collection.get("Members@odata.nextLink")}}, "")

    def _expanded(self, path: str) -> Document | None:
        query = child(child(self.root, "ProtocolFeaturesSupported"), "ExpandQuery")
        # The path of a next page already has the query.
        if query.get("NoLinks") is not True or "?" in path or self._is_late():
            return None
        try:
            return self._get(path + _EXPAND)
        except failures.expected_errors():
            return None

    def _read_optional(self, path: str) -> Document | None:
        if self._is_late():
            self.notes["further resources"] = (
                f"were not read after {REQUEST_SECONDS} s: the controller is slow"
            )
            return None
        try:
            return self._get(path)
        except failures.expected_errors() as error:
            if not failures.is_absent(error):
                self.notes[path] = failures.short_reason(error, READ_SECONDS)
            return None

    def _get(self, path: str) -> Document:
        document = self._connector.get(path).json()
        if not isinstance(document, dict):
            raise TypeError("not a JSON object")
        return document

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    @contextlib.contextmanager
    def _user_errors(self, path: str) -> Iterator[None]:
        """Raise failures of requests as UserError."""
        try:
            yield
        except failures.expected_errors() as error:
            account = self._login.name if self._login else None
            reason = failures.explanation(error, path, account, READ_SECONDS)
            raise UserError(f"{self.url}: {reason}") from error


def _check_certificates(file: str) -> None:
    if Path(file).exists():
        reading.read_bytes(Path(file))
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else None
        raise UserError(
            f"--redfish-ca {file}: {reason or 'contains no certificate'}; expected a file with "
            "certificates in PEM format"
        ) from None
