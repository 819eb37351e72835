# SPDX-License-Identifier: Apache-2.0
"""A management controller's Redfish service, through sushy.

sushy does the service root, TLS and the login (a session, else HTTP basic). Resources are read as
plain JSON through its connector: its classes have no PowerControl and nothing of the resources
that replaced Power and Thermal, and cut thresholds to whole degrees.
"""

import contextlib
import netrc
import os
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host.redfish import failures
from nova_gpu_passthrough.host.redfish.readings import Document, entries, link, part

#: For one request: to connect, and to wait for the next part of the answer.
CONNECT_SECONDS = 4
READ_SECONDS = 8
#: After so long nothing further is asked.
ASK_SECONDS = 16

_USERNAME, _PASSWORD = "REDFISH_USERNAME", "REDFISH_PASSWORD"
_EXPAND = "?$expand=.($levels=1)"


@dataclass(frozen=True, slots=True)
class Login:
    """An account of the management controller."""

    name: str
    password: str = field(repr=False)


class _NoLogin:
    """What sushy asks of an authentication, for a service that wants none."""

    def set_context(self, root: object, connector: object) -> None:
        """Nothing to remember."""

    def authenticate(self) -> None:
        """Nothing to send."""

    def close(self) -> None:
        """Nothing to end."""


def base_url(url: str) -> str:
    """The service's address: scheme, host and port.

    :raises UserError: if it is none, or holds a password
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        parts, host = urllib.parse.SplitResult("", "", "", "", ""), None
    if "@" in url:
        raise UserError(
            "--redfish: name and password do not belong into the URL, where others see them; "
            f"set {_USERNAME} and {_PASSWORD}"
        )
    bare = parts.path.rstrip("/") in ("", "/redfish", "/redfish/v1")
    if parts.scheme not in ("https", "http") or not host or not bare or parts.query:
        raise UserError(
            f"--redfish {url!r}: expected the address of a management controller, such as "
            "https://bmc.example"
        )
    return f"{parts.scheme}://{parts.netloc}"


def find_login(url: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """Name and password from the environment, else from netrc; None if neither has them.

    :param url: as `base_url` gives it
    :raises UserError: if only one of the two variables is set, or netrc cannot be used
    """
    name, password = environment.get(_USERNAME), environment.get(_PASSWORD)
    if name and password:
        return Login(name, password)
    if name or password:
        there, missing = (_USERNAME, _PASSWORD) if name else (_PASSWORD, _USERNAME)
        raise UserError(f"{there} is set and {missing} is not: set both, or none to use netrc")
    # NETRC is what curl and requests heed.
    file = environment.get("NETRC") or None
    try:
        found = netrc.netrc(file).authenticators(urllib.parse.urlsplit(url).hostname or "")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, netrc.NetrcParseError):
        # Their messages may quote what stands in the file.
        raise UserError(
            f"{file or '~/.netrc'}: cannot be used; it must be in netrc's format and readable by "
            f"its owner only, or set {_USERNAME} and {_PASSWORD}"
        ) from None
    return Login(found[0], found[2] or "") if found and found[0] else None


class Service:
    """A Redfish service, logged in; leaving the context logs out.

    :param url: as `base_url` gives it
    :param verify: False, or a file with trusted certificates (PEM); True: the system's
    :raises UserError: if sushy is not installed, the service cannot be reached or trusted, refuses
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
                f"{url}: http would send the password unencrypted; use https, or say "
                "--redfish-insecure on a network that you trust"
            )
        if isinstance(verify, str):
            _check_certificates(verify)
        self.url = url
        #: What is there and could not be read, by path.
        self.notes: dict[str, str] = {}
        self._login = login
        self._documents: dict[str, Document | None] = {}
        self._ends = time.monotonic() + ASK_SECONDS
        self._connector = connector.Connector(
            url,
            verify=verify,
            # One try: a person waits, and can call again.
            server_side_retries=1,
            server_side_retries_delay=0,
            default_request_timeout=READ_SECONDS,
            connect_timeout=CONNECT_SECONDS,
        )
        self._auth: Any = (
            auth.SessionOrBasicAuth(login.name, login.password) if login else _NoLogin()
        )
        with self._explained("/redfish/v1/"):
            # Kept, as sushy logs out when the object goes.
            self._sushy = sushy.Sushy(url, auth=self._auth, connector=self._connector)
            self.root: Document = dict(self._sushy.json)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session: controllers have few, and keep forgotten ones for half an hour."""
        from sushy import exceptions

        with contextlib.suppress(exceptions.SushyError):
            self._auth.close()
        self._connector.close()

    def required(self, path: str) -> Document:
        """A resource without which there is nothing to tell.

        :raises UserError: if it cannot be read
        """
        with self._explained(path):
            return self._get(path)

    def document(self, path: str) -> Document | None:
        """A resource that a service may leave out; a failure other than that leaves a note."""
        if path not in self._documents:
            self._documents[path] = self._asked(path)
        return self._documents[path]

    def members(self, path: str) -> Iterator[Document]:
        """A collection's members: in one answer where the service can, else one by one."""
        page: str | None = path
        pages = set()
        while page and page not in pages:
            pages.add(page)
            collection = self._expanded(page) or self.document(page) or {}
            for member in entries(collection, "Members"):
                if len(member) > 1:
                    yield member
                elif (single := link({"": member}, "")) and (found := self.document(single)):
                    yield found
            page = link({"": {"@odata.id": collection.get("Members@odata.nextLink")}}, "")

    def _expanded(self, path: str) -> Document | None:
        query = part(part(self.root, "ProtocolFeaturesSupported"), "ExpandQuery")
        # A next page's path has the query already.
        if query.get("NoLinks") is not True or "?" in path or self._is_late():
            return None
        try:
            return self._get(path + _EXPAND)
        except failures.caught():
            return None

    def _asked(self, path: str) -> Document | None:
        if self._is_late():
            self.notes["further resources"] = (
                f"are not asked for, as {ASK_SECONDS} s had passed: the controller is slow"
            )
            return None
        try:
            return self._get(path)
        except failures.caught() as error:
            if not failures.is_absent(error):
                self.notes[path] = failures.brief(error, READ_SECONDS)
            return None

    def _get(self, path: str) -> Document:
        document = self._connector.get(path).json()
        if not isinstance(document, dict):
            raise TypeError("not a JSON object")
        return document

    def _is_late(self) -> bool:
        return time.monotonic() > self._ends

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except failures.caught() as error:
            account = self._login.name if self._login else None
            sentence = failures.sentence(error, path, account, READ_SECONDS)
            raise UserError(f"{self.url}: {sentence}") from error


def _check_certificates(file: str) -> None:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else None
        raise UserError(
            f"--redfish-ca {file}: {reason or 'holds no certificate'}; expected a file with "
            "certificates in PEM format"
        ) from None
