"""Rows of an uploaded seed file, read as they are asked for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from tempfile import TemporaryFile

from runtime.domain.ports import ObjectStat
from runtime.domain.seeds.readers import Found
from runtime.domain.seeds.seeds import check_suffix, read_seeds
from runtime.domain.service_ports import ApiPorts


@contextmanager
def open_rows(ports: ApiPorts, seeds: ObjectStat) -> Iterator[Iterator[Found]]:
    """The rows of this very version. Whoever stops early has not read the rest of a text file.

    Raises `NotFoundError` on enter, and `SeedError` as `read_seeds` does.
    """
    name = PurePosixPath(seeds.key).name
    with ports.objects.open_version(seeds.key, version=seeds.version) as stream:
        if check_suffix(name) != "parquet":
            yield read_seeds(stream, name)
            return
        # What a Parquet file holds stands at its end, so it has to be on the disk as a whole. Only
        # the row groups that are asked for are decoded.
        with TemporaryFile() as file:
            shutil.copyfileobj(stream, file, 1024 * 1024)
            file.seek(0)
            yield read_seeds(file, name)
