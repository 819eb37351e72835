# SPDX-License-Identifier: Apache-2.0
"""What went wrong between sushy and a Redfish service, in words."""

import ssl
from collections.abc import Iterator

_CREDENTIALS = "set REDFISH_USERNAME and REDFISH_PASSWORD"
_NO_REDFISH = "expected the Redfish service of a management controller, such as https://bmc.example"
_CHECK = "check the address, and that this machine may reach it"


def caught() -> tuple[type[Exception], ...]:
    """Exceptions that a request to a service ends with.

    sushy takes the shape of an answer for granted: a list where an object should be gives a
    TypeError or AttributeError, text that is no JSON a ValueError, deep nesting a RecursionError.
    """
    from sushy import exceptions

    shape = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
    return (exceptions.SushyError, OSError, *shape)


def is_absent(error: Exception) -> bool:
    """Whether there is no such resource."""
    return getattr(error, "status_code", None) in (404, 410)


def brief(error: Exception, seconds: int) -> str:
    """A few words: what happened when a resource was read."""
    code = getattr(error, "status_code", None)
    if code in (401, 403):
        return "is refused to this account"
    if code is not None:
        return f"is answered with HTTP status {code}"
    if not _is_connection(error):
        return f"is not what Redfish says ({_shape(error)})"
    if _is_timeout(error):
        return f"is not answered within {seconds} s"
    return f"cannot be read ({_reason(error)})"


def sentence(error: Exception, path: str, account: str | None, seconds: int) -> str:
    """One sentence: what happened, and how to fix it.

    :param path: what was read
    :param account: the account's name; None: no login was sent
    :param seconds: how long an answer was waited for
    """
    code = getattr(error, "status_code", None)
    if code == 401:
        if account is None:
            return f"the management controller wants a login; {_CREDENTIALS}"
        return f"the management controller refuses {account}'s login; {_CREDENTIALS} anew"
    if code == 403:
        who = f"the account {account}" if account else "who has not logged in"
        return f"{who} may not read {path}; use an account with the role ReadOnly"
    if is_absent(error):
        return f"there is no {path}; {_NO_REDFISH}"
    if code is not None:
        return f"{path} {brief(error, seconds)}; try again, the controller may be restarting"
    if not _is_connection(error):
        return f"{path} {brief(error, seconds)}; {_NO_REDFISH}"
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"its certificate cannot be trusted ({link.verify_message}); give the authority's "
                "with --redfish-ca FILE, or do without the check by --redfish-insecure"
            )
        if isinstance(link, ssl.SSLError):
            return f"TLS fails ({link.reason or link}); {_NO_REDFISH}"
    if _is_timeout(error):
        return f"no answer within {seconds} s; {_CHECK}"
    return f"cannot be reached ({_reason(error)}); {_CHECK}"


def _is_connection(error: Exception) -> bool:
    from sushy import exceptions

    if isinstance(error, exceptions.ConnectionError):
        return True
    # requests' JSONDecodeError is an OSError, too.
    return isinstance(error, OSError) and not isinstance(error, ValueError)


def _is_timeout(error: Exception) -> bool:
    return any(isinstance(link, TimeoutError) for link in _chain(error))


def _reason(error: Exception) -> str:
    """The innermost reason: "Connection refused" instead of a tower of wrapped exceptions."""
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
    """An exception and those that it came from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
