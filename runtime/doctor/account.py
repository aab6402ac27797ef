"""The account and the region that are looked at, and what several checks want to know of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote
from threading import RLock
from typing import Any, Final, TypeVar

from runtime.aws.failures import error_code
from runtime.contract.stacks import STACKS, stack_name
from runtime.domain.errors import NotFoundError
from runtime.domain.models.price_table import PriceTable
from runtime.sdk import create_reader

T = TypeVar("T")

MAX_PAGES: Final = 40
"""Of one list. The longest is Bedrock's quotas, with some 100 on each page."""

_THERE: Final = ("CREATE_COMPLETE", "UPDATE_", "IMPORT_")
"""How the status of a stack begins whose resources are there."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What checks ask. Every client only waits for seconds and asks twice at most.

    `region` and `profile` are those of the command, None for what the environment says. `models`
    are Bedrock model ids, inference profiles included. Safe for several threads.
    """

    stage: str
    region: str | None
    profile: str | None
    prices: PriceTable
    models: tuple[str, ...]
    now: Callable[[], datetime]
    _locks: defaultdict[str, RLock] = field(default_factory=lambda: defaultdict(RLock))
    _kept: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client of one service. Raises `ConfigurationError`, without a region for example."""
        with self._locks["clients"]:  # they are made one after the other
            return self._once(
                f"client {service}",
                lambda: create_reader(service, region=self.region, profile=self.profile),
            )

    @property
    def region_name(self) -> str:
        """The region that is asked, wherever it is set. Raises `ConfigurationError`."""
        name: str = self.client("cloudformation").meta.region_name  # STS does without one
        return name

    def aws(self, command: str) -> str:
        """A command of the AWS command line for this region and profile. What others have named
        must be quoted in it: somebody is to paste it into a shell.
        """
        given = {"--region": self.region, "--profile": self.profile}
        flags = "".join(f" {name} {quote(value)}" for name, value in given.items() if value)
        return f"aws {command}{flags}"

    def identity(self) -> Mapping[str, str]:
        """Whose credentials these are: Account, Arn, UserId."""
        return self._once("identity", lambda: self.client("sts").get_caller_identity())

    def stacks(self) -> Mapping[str, str | None]:
        """The status of each stack of the stage, None where there is none."""
        return self._once("stacks", lambda: {what: self._stack_status(what) for what in STACKS})

    def is_deployed(self, what: str) -> bool:
        """Whether a stack's resources can be expected to be there."""
        return (self.stacks()[what] or "").startswith(_THERE)

    def resource(self, what: str, kind: str, begins: str) -> str:
        """The physical id of a stack's resource of this type whose logical id begins like that.
        Raises `NotFoundError`.
        """
        for found in self.pages(
            "cloudformation",
            "list_stack_resources",
            "StackResourceSummaries",
            StackName=stack_name(self.stage, what),
        ):
            if found["ResourceType"] == kind and found["LogicalResourceId"].startswith(begins):
                physical: str = found["PhysicalResourceId"]
                return physical
        raise NotFoundError(f"stack {stack_name(self.stage, what)} has no {begins}")

    def foundation_models(self) -> Mapping[str, Any]:
        """What Bedrock says of each of its models in this region, by model id."""
        return self._once(
            "models",
            lambda: {
                each["modelId"]: each
                for each in self.client("bedrock").list_foundation_models()["modelSummaries"]
            },
        )

    def inference_profiles(self) -> Mapping[str, Any]:
        """The inference profiles that AWS has defined for this region, by id."""
        return self._once(
            "profiles",
            lambda: {
                each["inferenceProfileId"]: each
                for each in self.pages(
                    "bedrock",
                    "list_inference_profiles",
                    "inferenceProfileSummaries",
                    typeEquals="SYSTEM_DEFINED",
                )
            },
        )

    def pages(self, service: str, operation: str, items: str, **asked: Any) -> Iterator[Any]:
        """The items of a list, of its first `MAX_PAGES` pages."""
        pages = self.client(service).get_paginator(operation).paginate(**asked)
        for _, page in zip(range(MAX_PAGES), pages, strict=False):
            yield from page.get(items, ())

    def _stack_status(self, what: str) -> str | None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as in runtime/sdk.py

        try:
            found = self.client("cloudformation").describe_stacks(
                StackName=stack_name(self.stage, what)
            )
        except ClientError as error:
            if error_code(error) == "ValidationError":  # what AWS says of a stack it doesn't know
                return None
            raise
        status: str = found["Stacks"][0]["StackStatus"]
        return status

    def _once(self, name: str, look: Callable[[], T]) -> T:
        """What `look` gives, asked once for all checks; a failure is not kept."""
        with self._locks[name]:
            if name not in self._kept:
                self._kept[name] = look()
            kept: T = self._kept[name]
            return kept
