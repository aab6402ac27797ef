"""Ends of jobs as events of EventBridge.

    a job ends ──▶ unannounced ──▶ event ──▶ the mark goes
    (one write)                   (may come twice, after a crash here)

The write that ends a job leaves the mark on its item (`job_store.py`), so no crash can lose an end;
an index lists the items that have it. The mark goes only if the job's end is still the one that was
announced: a job that has ended again meanwhile is announced again.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from runtime.aws.failures import SDK_ERRORS, error_code
from runtime.aws.job_changes import UNANNOUNCED
from runtime.aws.job_items import parse_job
from runtime.aws.table import Item, Refused, Table
from runtime.contract.events import DEFAULT_BUS, JOB_ENDED, SOURCE
from runtime.contract.tables import JOBS_UNANNOUNCED
from runtime.domain.errors import StorageError, StorageUnavailableError
from runtime.domain.jobs.ended import ended_detail
from runtime.logs import event

MAX_ENTRIES: Final = 10
"""Events in a request, at most."""

_log = logging.getLogger(__name__)


class EventsClient(Protocol):
    """What is needed of the SDK's client."""

    def put_events(self, *, Entries: Sequence[Any]) -> Mapping[str, Any]: ...  # noqa: N803 - AWS's name


class EventBridgeAnnouncer:
    """Implements `service_ports.Announcer`."""

    def __init__(self, *, client: EventsClient, jobs: Table, stage: str) -> None:
        self._client = client
        self._jobs = jobs
        self._stage = stage

    def announce(self, *, enough: Callable[[], bool]) -> int:
        waiting = self._jobs.query(
            "unannounced", UNANNOUNCED, index=JOBS_UNANNOUNCED, page_size=MAX_ENTRIES
        )
        entries = self._entries(waiting)
        announced = 0
        while some := list(islice(entries, MAX_ENTRIES)):
            announced += self._put(some)
            if enough():
                break
        return announced

    def _entries(self, items: Iterator[Item]) -> Iterator[tuple[Item, Any]]:
        for item in items:
            try:
                job = parse_job(item)
            except StorageError as error:  # whoever deletes the job takes the mark, too
                event(_log, logging.ERROR, "end not announced", code=error.code)
                continue
            yield (
                item,
                {
                    "Source": SOURCE,
                    "DetailType": JOB_ENDED,
                    "Detail": json.dumps(ended_detail(job, stage=self._stage)),
                    "EventBusName": DEFAULT_BUS,
                    "Time": job.completed_at,
                },
            )

    def _put(self, some: Sequence[tuple[Item, Any]]) -> int:
        try:
            reply = self._client.put_events(Entries=[entry for _, entry in some])
        except SDK_ERRORS as exc:
            raise StorageUnavailableError(
                f"EventBridge took no events ({error_code(exc)}): it is tried again"
            ) from exc
        announced = 0
        # The request succeeds as a whole even where it took some events, or none.
        for (item, _), taken in zip(some, reply["Entries"], strict=True):
            if "ErrorCode" in taken:
                event(_log, logging.ERROR, "end not announced", code=taken["ErrorCode"])
                continue
            announced += self._note(item)
        return announced

    def _note(self, item: Item) -> bool:
        outcome = self._jobs.update(
            {"job_id": item["job_id"]},
            remove="#unannounced",
            # Excludes that the mark of a later end goes with this one.
            condition="attribute_exists(#unannounced) AND #completed_at = :announced",
            values={":announced": item["completed_at"]},
        )
        return not isinstance(outcome, Refused)
