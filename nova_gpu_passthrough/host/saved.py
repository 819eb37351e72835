# SPDX-License-Identifier: Apache-2.0
"""Files that people saved by hand for the audit."""

from pathlib import Path

from nova_gpu_passthrough.errors import UserError


def read_bytes(path: Path, most: int) -> bytes:
    """A file's bytes.

    :param most: bytes that no such file exceeds
    :raises UserError: if it cannot be read or is larger
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; name a readable file") from None
    if len(data) > most:
        raise UserError(
            f"{path} has more than {most // 2**20} MiB, expected a saved output; "
            "is it the right file?"
        )
    return data
