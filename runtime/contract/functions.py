"""What a Lambda function and a route of the API are."""

from dataclasses import dataclass
from typing import Final

from runtime.contract import environment as names
from runtime.contract.grants import (
    AnnounceGrant,
    ExecutionGrant,
    Grant,
    LaunchGrant,
    ListGrant,
    ModelGrant,
    ObjectGrant,
    StopGrant,
    TableGrant,
)

PARQUET_DISK: Final = 2048
"""A function copies a Parquet file before it reads it: twice as much as the API takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """One Lambda function. `module` is below `runtime.lambdas` and has a `lambda_handler`.

    `bundle` is core, templates where the text of one is read, or data where Parquet is read, too.
    Memory is MiB; Lambda's share of a processor grows with it. Disk is MiB for temporary files.
    """

    name: str
    module: str
    grants: tuple[Grant, ...] = ()
    bundle: str = "core"
    memory: int = 512
    disk: int = 512
    seconds: int = 15
    extra_variables: tuple[str, ...] = ()

    @property
    def handler(self) -> str:
        """The handler string of Lambda."""
        return f"runtime.lambdas.{self.module}.lambda_handler"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that its settings read, in a fixed order. Those of
        `FUNCTION_OPTIONAL` are among them; a stage gives the ones that it has.
        """
        found = {*names.FUNCTION_OPTIONAL, *self.extra_variables}
        for grant in self.grants:
            match grant:
                case TableGrant(table=table):
                    found.add(table.variable)
                case ObjectGrant() | ListGrant():
                    found.add(names.BUCKET_NAME)
                case LaunchGrant():
                    found.update(names.LAUNCH_REQUIRED)
                case ExecutionGrant():
                    found.add(names.STATE_MACHINE)
                case AnnounceGrant():
                    found.add(names.STAGE)
                case ModelGrant() | StopGrant():
                    pass
        return tuple(sorted(found))


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One operation of the HTTP API. `path` has parameters in braces, as API Gateway writes them.
    `authenticated` is False only where a request needs no token.
    """

    method: str
    path: str
    function: Function
    authenticated: bool = True

    @property
    def key(self) -> str:
        """The route key of API Gateway, such as `GET /jobs/{job_id}`."""
        return f"{self.method} {self.path}"
