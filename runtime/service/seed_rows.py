"""Rows of an uploaded seed file, read as they are asked for."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath

from runtime.domain.ports import ObjectStat
from runtime.domain.seeds.readers import Found
from runtime.domain.service_ports import ApiPorts
from runtime.files.reading import read_rows


@contextmanager
def open_rows(ports: ApiPorts, seeds: ObjectStat) -> Iterator[Iterator[Found]]:
    """The rows of this very version. Whoever stops early has not read the rest.

    Raises `NotFoundError` on enter, and `SeedError` as `read_rows` does.
    """
    name = PurePosixPath(seeds.key).name
    with (
        ports.objects.open_version(seeds.key, version=seeds.version) as stream,
        closing(read_rows(stream, name)) as rows,
    ):
        yield rows
