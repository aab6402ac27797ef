"""GET /seed-data."""

from http import HTTPStatus
from typing import Final

from runtime.contract.keys import seed_prefix
from runtime.lambdas.cursor import PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint

_OPERATION: Final = "list_seed_data"


class SeedFile(ApiModel):
    """An uploaded file. `size` is bytes."""

    s3_key: str
    filename: str
    size: int


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
            SeedFile(s3_key=each.key, filename=each.key.rpartition("/")[2], size=each.size)
            for each in page.items
        ],
        next_cursor=encode_cursor(page.next, operation=_OPERATION, caller=call.caller),
    )
