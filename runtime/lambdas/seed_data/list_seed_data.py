"""GET /seed-data."""

from datetime import datetime
from http import HTTPStatus
from typing import Final

from runtime.contract.keys import seed_prefix
from runtime.domain.identifiers import is_uuid
from runtime.lambdas.cursor import PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint

_OPERATION: Final = "list_seed_data"


class SeedFile(ApiModel):
    """An uploaded file. `size` is bytes."""

    s3_key: str
    filename: str
    size: int
    seed_id: str | None
    """Names the file where it is deleted; null for one that did not come through an upload URL."""
    uploaded_at: datetime | None


class SeedFilePage(ApiModel):
    """Files in the order of their keys. A page may be short and still have a next one."""

    files: list[SeedFile]
    next_cursor: str | None
    """null: this was the last page."""


@endpoint(body=NoBody, query=PageQuery, answers={HTTPStatus.OK: SeedFilePage})
def lambda_handler(call: Call[NoBody, PageQuery]) -> SeedFilePage:
    """List your seed files."""
    page = call.ports.objects.list_page(
        seed_prefix(call.caller),
        limit=call.query.limit,
        after=decode_cursor(call.query.cursor, operation=_OPERATION, caller=call.caller),
    )
    return SeedFilePage(
        files=[
            SeedFile(
                s3_key=each.key,
                filename=each.key.rpartition("/")[2],
                size=each.size,
                seed_id=_seed_id(each.key, call.caller),
                uploaded_at=each.written_at,
            )
            for each in page.items
        ],
        next_cursor=encode_cursor(page.next, operation=_OPERATION, caller=call.caller),
    )


def _seed_id(key: str, user_id: str) -> str | None:
    """The folder of an upload, see `create_upload_url`."""
    folder, slash, _ = key.removeprefix(seed_prefix(user_id)).partition("/")
    return folder if slash and is_uuid(folder) else None
