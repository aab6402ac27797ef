"""A user's quota of seed bytes: what is stored, and what uploads on their way may still add.

    form is given ─▶ its size is reserved ─▶ stored, form has expired ─▶ counts as what is stored
                                          └▶ never arrived ─▶ forgotten when nothing can arrive

Nobody hears when an upload has arrived: the store is listed whenever a form is asked for. Until its
form has expired an upload counts at least as its reservation, since a form can be used again. The
ledger is replaced under its revision, so of two forms that are asked for at once, one sees the
other's reservation. What an upload that takes longer than `HOLD` adds, counts once it has arrived.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from runtime.domain.errors import ConfigurationError, LimitError, SeedQuotaError

HOLD: Final = timedelta(hours=6)
"""How long an upload may be on its way."""
MAX_OPEN: Final = 1000
"""Uploads of a user that are reserved for at a time: a ledger is one item of a table."""
GIB: Final = 1024**3
DEFAULT_QUOTA_BYTES: Final = 50 * GIB

NO_QUOTA: Final = "off"
_MAX_GIB: Final = 10**6


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """An upload that may be on its way: it can begin before `form_until`, and has arrived before
    `until` or never.
    """

    size: int
    form_until: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadLedger:
    """What is reserved for a user, by the id of the upload. Revision 0: nothing ever was."""

    revision: int = 0
    reserved: Mapping[str, Reservation] = field(default_factory=dict)

    def after(self, reserved: Mapping[str, Reservation]) -> "UploadLedger":
        """The next revision."""
        return UploadLedger(revision=self.revision + 1, reserved=reserved)


class UploadLedgers(Protocol):
    """One ledger a user."""

    def get(self, user_id: str) -> UploadLedger:
        """Strongly consistent read; an empty one where there is none."""
        ...

    def replace(self, user_id: str, ledger: UploadLedger) -> None:
        """Store the next revision. Raises `ConflictError` when another writer was quicker."""
        ...


def reserve(
    ledger: UploadLedger,
    stored: Mapping[str, int],
    upload_id: str,
    *,
    size: int | None,
    most: int,
    limit: int,
    now: datetime,
    form_seconds: int,
) -> tuple[UploadLedger, int]:
    """The ledger with one more upload, and how many bytes that may have: `size`, or if that is not
    known all that is left, but not more than `most`. `stored` are the bytes of each upload.

    Raises `SeedQuotaError`, and `LimitError` for too many uploads at a time.
    """
    open_ = {
        name: each
        for name, each in ledger.reserved.items()
        if now < (each.form_until if name in stored else each.until)
    }
    pending = sum(max(each.size - stored.get(name, 0), 0) for name, each in open_.items())
    left = limit - sum(stored.values()) - pending
    wanted = min(most, max(left, 1)) if size is None else size
    if wanted > left:
        raise _no_room(limit, left=left, pending=pending, wanted=size)
    if len(open_) >= MAX_OPEN:
        raise LimitError(f"{MAX_OPEN} uploads are on their way, which is the limit: wait for some")
    form_until = now + timedelta(seconds=form_seconds)
    new = Reservation(size=wanted, form_until=form_until, until=form_until + HOLD)
    return ledger.after({**open_, upload_id: new}), wanted


def release(ledger: UploadLedger, upload_id: str) -> UploadLedger | None:
    """The ledger after an upload was deleted: it is reserved for as long as its form can be used.
    None where nothing changes.
    """
    found = ledger.reserved.get(upload_id)
    if found is None or found.until == found.form_until:
        return None
    gone = Reservation(size=found.size, form_until=found.form_until, until=found.form_until)
    return ledger.after({**ledger.reserved, upload_id: gone})


def _no_room(limit: int, *, left: int, pending: int, wanted: int | None) -> SeedQuotaError:
    has = f"{_gb(wanted)}" if wanted is not None else "another file"
    waiting = f" ({_gb(pending)} of that is reserved for uploads on their way)" if pending else ""
    return SeedQuotaError(
        f"your seeds may take {_gb(limit)} and {_gb(max(left, 0))} of it are left{waiting}, not"
        f" enough for {has}: delete seeds that you no longer need (DELETE /seed-data/{{seed_id}},"
        " `seedwright seeds delete KEY`), or have seed_quota_gib (serve --seed-quota) raised"
    )


def _gb(size: int) -> str:
    return f"{size / 10**9:.2f} GB"


def parse_quota(text: str, *, name: str) -> int | None:
    """Bytes of a setting, whole GiB or `off`, which is None. Raises `ConfigurationError` that names
    it.
    """
    if text == NO_QUOTA:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_GIB):
        raise ConfigurationError(f"{name} must be whole GiB from 1 to {_MAX_GIB}, or {NO_QUOTA}")
    return int(text) * GIB
