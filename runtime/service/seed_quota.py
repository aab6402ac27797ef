"""Keeps what a user's seeds may take: asked before an upload, told after a deletion."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from runtime.contract.keys import seed_prefix
from runtime.domain.errors import ConflictError, StorageBusyError
from runtime.domain.seeds.uploads import release, reserve
from runtime.domain.service_ports import ApiPorts

_TRIES: Final = 8
"""Writers that may be quicker in a row, all of them the user's own."""


def reserve_upload(
    ports: ApiPorts, user_id: str, upload_id: str, *, size: int | None, most: int
) -> int:
    """How many bytes an upload may have, which are reserved for it now: `size`, or at most `most`.
    Raises `SeedQuotaError`, `LimitError`.
    """
    limit = ports.settings.seed_bytes
    if limit is None:
        return most if size is None else size
    for _ in range(_TRIES):
        # Read before the listing: what arrives in between is in both, and counts once.
        ledger = ports.upload_ledgers.get(user_id)
        new, allowed = reserve(
            ledger,
            _stored(ports, user_id),
            upload_id,
            size=size,
            most=most,
            limit=limit,
            now=ports.clock.now(),
            form_seconds=ports.settings.upload_seconds,
        )
        try:
            ports.upload_ledgers.replace(user_id, new)
        except ConflictError:
            continue
        return allowed
    raise _busy()


def release_upload(ports: ApiPorts, user_id: str, upload_id: str) -> None:
    """The upload was deleted. May be repeated, and forgotten: then the room comes back later."""
    for _ in range(_TRIES):
        new = release(ports.upload_ledgers.get(user_id), upload_id)
        if new is None:
            return
        try:
            ports.upload_ledgers.replace(user_id, new)
        except ConflictError:
            continue
        return
    raise _busy()


def _stored(ports: ApiPorts, user_id: str) -> Mapping[str, int]:
    """Bytes of every upload of the user by its id, replaced versions included: they are kept."""
    prefix = seed_prefix(user_id)
    sizes: Counter[str] = Counter()
    for each in ports.objects.list_versions(prefix):
        sizes[each.key.removeprefix(prefix).partition("/")[0]] += each.size
    return sizes


def _busy() -> StorageBusyError:
    return StorageBusyError("many of your uploads begin at once: try again")
