"""What rows a job of an API was asked for, among the job's objects: each request, and what is
remembered of all that were made. A laptop's folder remembers in its own state.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.contract.keys import export_request_key, row_configurations_key
from runtime.domain.errors import NotFoundError, StorageError
from runtime.domain.ports import ObjectStore
from runtime.export.configurations import Configuration, Configurations


@dataclass(frozen=True, kw_only=True, slots=True)
class RowOrder:
    """Rows that are to be made, and the licence for the card; None leaves that."""

    rows: Configuration
    licence: str | None = None


def save_order(objects: ObjectStore, job_id: str, order: RowOrder) -> str:
    """Keep a request; what names it, which is the same for the same request. Raises
    `StorageError`.
    """
    body = orjson.dumps(
        {"rows": order.rows.document(), "licence": order.licence}, option=orjson.OPT_SORT_KEYS
    )
    name = hashlib.sha256(body).hexdigest()
    objects.put(export_request_key(job_id, name), body, content_type="application/json")
    return name


def load_order(objects: ObjectStore, job_id: str, name: str) -> RowOrder:
    """Inverse of `save_order`. Raises `StorageError`, also for one that is gone or damaged."""
    try:
        document = orjson.loads(objects.get(export_request_key(job_id, name)))
        return RowOrder(rows=Configuration.parse(document["rows"]), licence=document["licence"])
    except (NotFoundError, ValueError, KeyError, TypeError) as exc:
        raise StorageError("what was asked for can't be read: ask for it again") from exc


def load_row_configurations(objects: ObjectStore, job_id: str) -> Configurations:
    """What is remembered of a job's rows. Raises `StorageError`, also where it is damaged."""
    try:
        document: Any = orjson.loads(objects.get(row_configurations_key(job_id)))
        return Configurations.parse(document)
    except NotFoundError:
        return Configurations()
    except (ValueError, KeyError, TypeError) as exc:
        raise StorageError("what is remembered of the job's rows is damaged") from exc


def save_row_configurations(objects: ObjectStore, job_id: str, known: Configurations) -> None:
    """Remember. Raises `StorageError`."""
    body = orjson.dumps(known.document())
    objects.put(row_configurations_key(job_id), body, content_type="application/json")
