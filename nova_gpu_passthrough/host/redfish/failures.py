# SPDX-License-Identifier: Apache-2.0
"""Describe failures of requests to a Redfish service through sushy."""

import ssl
from collections.abc import Iterator

_CREDENTIALS = "set REDFISH_USERNAME and REDFISH_PASSWORD"
_NO_REDFISH = "expected the Redfish service of a management controller, such as https://bmc.example"
_CHECK_ADDRESS = "check the address, and that this machine may reach it"


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a request to a service can raise.

    sushy does not check the shape of an answer: a list instead of an object raises a
    TypeError or AttributeError, text that is no JSON a ValueError, deep nesting a RecursionError.
    """
    from sushy import exceptions

    shape = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
    return (exceptions.SushyError, OSError, *shape)


def is_absent(error: Exception) -> bool:
    """Check whether an error means that the resource does not exist."""
    return getattr(error, "status_code", None) in (404, 410)


def short_reason(error: Exception, seconds: int) -> str:
    """Return a short predicate that says why a resource could not be read."""
    code = getattr(error, "status_code", None)
    if code in (401, 403):
        return "is forbidden for this account"
    if code is not None:
        return f"returns HTTP status {code}"
    if not _is_connection(error):
        return f"is not valid Redfish ({_shape(error)})"
    if _is_timeout(error):
        return f"does not answer within {seconds} s"
    return f"cannot be read ({_reason(error)})"


def explanation(error: Exception, path: str, account: str | None, seconds: int) -> str:
    """Return one sentence that says why a request failed and how to fix it.

    :param path: path of the resource
    :param account: the account's name; None: no login was sent
    :param seconds: timeout of the request
    """
    code = getattr(error, "status_code", None)
    if code == 401:
        if account is None:
            return f"the management controller requires a login; {_CREDENTIALS}"
        return f"the management controller rejects {account}'s login; {_CREDENTIALS} again"
    if code == 403:
        user = f"the account {account}" if account else "a user without login"
        return f"{user} may not read {path}; use an account with the role ReadOnly"
    if is_absent(error):
        return f"{path} does not exist; {_NO_REDFISH}"
    if code is not None:
        return f"{path} {short_reason(error, seconds)}; try again, the controller may be restarting"
    if not _is_connection(error):
        return f"{path} {short_reason(error, seconds)}; {_NO_REDFISH}"
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"its certificate cannot be verified ({link.verify_message}); give the authority's "
                "certificate with --redfish-ca FILE, or disable the check with --redfish-insecure"
            )
        if isinstance(link, ssl.SSLError):
            return f"TLS fails ({link.reason or link}); {_NO_REDFISH}"
    if _is_timeout(error):
        return f"no answer within {seconds} s; {_CHECK_ADDRESS}"
    return f"cannot be reached ({_reason(error)}); {_CHECK_ADDRESS}"


def _is_connection(error: Exception) -> bool:
    from sushy import exceptions

    if isinstance(error, exceptions.ConnectionError):
        return True
    # The JSONDecodeError of requests is also an OSError.
    return isinstance(error, OSError) and not isinstance(error, ValueError)


def _is_timeout(error: Exception) -> bool:
    return any(isinstance(link, TimeoutError) for link in _chain(error))


def _reason(error: Exception) -> str:
    """Return the innermost reason, such as "Connection refused", of wrapped exceptions."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return str(chain[-1])[:120] or type(chain[-1]).__name__


def _shape(error: Exception) -> str:
    from sushy import exceptions

    if isinstance(error, exceptions.MissingAttributeError):
        return str(error)[:120]
    return "no JSON" if isinstance(error, ValueError | RecursionError) else "JSON of another shape"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an exception and its causes, the outermost first."""
    visited: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
