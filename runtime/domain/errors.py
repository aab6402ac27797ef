"""One tree of errors for the whole engine.

    SeedwrightError
    ├── ConfigurationError            environment or arguments; nothing was started
    ├── InputError                    what the user gave can't be used
    │   ├── UnclearOutputError        a shape whose fields don't follow from the template
    │   ├── TemplateError             shape, syntax or reference
    │   │   └── TemplateNotFoundError (also a ValueError)
    │   ├── SeedError                 not readable, empty, or a required path is missing
    │   ├── PriceError                unknown model, or one without a valid price
    │   ├── TooLargeError             more than is taken
    │   └── BudgetTooSmallError       less than the job is likely to cost
    ├── UnauthenticatedError          a request without a caller
    ├── ForbiddenError                a place that the caller may not touch
    ├── LimitError                    the caller has used up a limit; later there may be room
    ├── SeedQuotaError                the caller's seeds leave no room for another file
    ├── MonthlyBudgetError            the budget of the month has no room for what was asked for
    ├── LaunchError                   no machine for a worker now
    │   └── LaunchQuotaError          the account runs as many machines as it may
    ├── RenderError                   one record's prompt could not be rendered
    ├── OutputError                   a reply that does not fit the step's output_schema
    ├── OutputCheckError              a reply that could not be checked: time or memory limit
    ├── BudgetExceededError           the job's limit leaves no room for another call
    ├── ModelError                    a call to a model failed; `kind` says how (see retry.py)
    │   └── SchemaRefusedError        the service can't compile the schema that came along
    ├── LeaseLostError                another worker owns this work now; stop writing
    ├── StorageError                  a table or an object store failed
    │   ├── NotFoundError
    │   ├── ObjectExistsError         a write that must not overwrite found an object
    │   ├── ConflictError             a conditional write lost against another writer
    │   ├── StorageUnavailableError   failing or unreachable: the same call may work later
    │   │   └── StorageBusyError      throttled, or others are writing: it will work in a moment
    │   └── StorageFullError          no space left on the device
    ├── CorruptCheckpointError        a stored checkpoint that can't be read
    ├── JobFailedError                a dataset that could not be finished; what there is is kept
    ├── ModelsFailingError            no model answers: the job stops paying
    ├── ModelAccessError              the account or its policy doesn't let a model be called
    ├── QuotaUsedUpError              the account's quota of the day is used up
    ├── NoCreditError                 the account at a provider has no money left
    ├── RecordsFailingError           record after record failed by its own fault
    ├── NoneAcceptedError             none of many tries has passed the template's checks
    ├── CandidatesExhaustedError      the tries are used up, and too few records are accepted
    ├── WorkersLostError              worker after worker of a job has died
    └── ExportError                   the dataset could not be written; the batches are kept

`code` is stable and machine readable; `retryable` says whether the same call may succeed later.
Decisions are made on the class (or `ModelError.kind`), never on the text of a message.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar, Final

from runtime.domain.plain_text import plain_line


class SeedwrightError(Exception):
    """Root of the tree. `str(error)` is one line that a user can act on, of plain text: messages
    quote what others wrote.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(plain_line(message))


class ConfigurationError(SeedwrightError):
    """The environment or the arguments don't allow a start."""

    code = "configuration"


MAX_MESSAGE_CHARACTERS: Final = 5000
"""Of what is wrong with an input: it may quote names of any length."""


def _shortened(message: str) -> str:
    if len(message) <= MAX_MESSAGE_CHARACTERS:
        return message
    return f"{message[:MAX_MESSAGE_CHARACTERS]}…"


class InputError(SeedwrightError):
    """Something the user wrote or uploaded can't be used as it is.

    `problems` are what is wrong one by one, each as (place, what is expected there); empty where
    the message says it all.
    """

    code = "invalid_input"

    def __init__(self, message: str, *, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(_shortened(message))
        self.problems = tuple((_shortened(place), _shortened(told)) for place, told in problems)


class UnclearOutputError(InputError):
    """A shape whose fields don't follow from a template. `block` is the `output:` to fill in."""

    code = "unclear_output"

    def __init__(self, message: str, *, block: str) -> None:
        super().__init__(message)
        self.block = block


class TemplateError(InputError):
    """A template with a wrong shape, syntax or reference."""

    code = "invalid_template"


class TemplateNotFoundError(TemplateError, ValueError):
    """No such template or version, or none that the caller may see."""

    code = "template_not_found"


class SeedError(InputError):
    """Seed data that can't be read or lacks a required path."""

    code = "invalid_seeds"


class PriceError(InputError):
    """A model that the price table doesn't know, or without a valid price."""

    code = "unknown_model"


class TooLargeError(InputError):
    """More than is taken at once."""

    code = "too_large"


class BudgetTooSmallError(InputError):
    """A budget that is likely to end before the records do."""

    code = "budget_too_small"


class UnauthenticatedError(SeedwrightError):
    """A request that does not say whose it is."""

    code = "unauthenticated"


class ForbiddenError(SeedwrightError):
    """A place outside the caller's own."""

    code = "forbidden"


class LimitError(SeedwrightError):
    """A limit of the caller's is used up: what ends makes room."""

    code = "limit_reached"
    retryable = True


class SeedQuotaError(SeedwrightError):
    """What the seeds of a user may take leaves no room for another file: deleting some makes it."""

    code = "seed_quota"


class MonthlyBudgetError(SeedwrightError):
    """What all jobs of a month may cost together, or those of one user, leaves no room for this."""

    code = "monthly_budget"


class LaunchError(SeedwrightError):
    """No worker could be started: no capacity, or a refusal. The work stays queued."""

    code = "launch_failed"
    retryable = True


class LaunchQuotaError(LaunchError):
    """No worker could be started because the account runs as many machines as its quota allows.
    There are machines: it is no reason to pay more for one.
    """

    code = "launch_quota"
    retryable = True


class RenderError(SeedwrightError):
    """One prompt could not be rendered: undefined value, time or memory limit."""

    code = "render_failed"


class OutputError(SeedwrightError):
    """A reply that is not JSON or does not fit the step's schema."""

    code = "invalid_output"


class OutputCheckError(SeedwrightError):
    """A reply that could not be checked against the step's schema: time or memory limit."""

    code = "output_not_checked"


class BudgetExceededError(SeedwrightError):
    """The budget leaves no room for the next call.

    `dataset` is what was generated within it, where a caller of `generate` or `preview` gets this.
    """

    code = "budget_exceeded"

    def __init__(self, message: str, *, dataset: Any = None) -> None:
        super().__init__(message)
        self.dataset = dataset


class ModelErrorKind(StrEnum):
    """What a failed call means for money and for retrying. Policies per kind: retry.py."""

    THROTTLED = "throttled"  # refused before any work: not billed
    QUOTA_USED_UP = "quota_used_up"  # a quota of the day: every call will be refused until it ends
    NO_CREDIT = "no_credit"  # the account has no money left: every call will be refused until then
    UNAVAILABLE = "unavailable"  # 503: the service refused the work
    SERVER_FAULT = "server_fault"  # 500: an answer without a completion, perhaps billed
    IN_DOUBT = "in_doubt"  # timeout or reset after sending: perhaps billed
    MODEL_FAILED = "model_failed"  # the model itself errored (408, 424): perhaps billed
    NOT_SENT = "not_sent"  # no connection: certainly not billed
    REJECTED = "rejected"  # this request is invalid; another may be fine
    # The same for reasons of its own, in the words of the stop reasons that say so after a reply.
    TOO_LONG = "model_context_window_exceeded"
    FILTERED = "content_filtered"
    FATAL = "fatal"  # no access, no such model: every call will fail


class ModelError(SeedwrightError):
    """A model call that gave no completion.

    `kind` drives retry and accounting; `service_code` is the provider's own error code, for logs.
    `timed_out` says that the reply did not come in time: the next attempt waits longer.
    `denied` says that somebody has to grant access to the model first; its kind is FATAL then.
    `retry_after` is how many seconds the provider asks to wait before the next call.
    """

    code = "model_error"

    def __init__(
        self,
        kind: ModelErrorKind,
        message: str,
        *,
        service_code: str = "",
        timed_out: bool = False,
        denied: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.service_code = service_code
        self.timed_out = timed_out
        self.denied = denied


class SchemaRefusedError(ModelError):
    """The service can't compile the schema that it should hold the model to, or not in time. Its
    kind is REJECTED, and not billed; the same prompt with the schema in words may be answered.
    """

    code = "schema_refused"


class LeaseLostError(SeedwrightError):
    """The fence has moved on: another worker owns this work."""

    code = "lease_lost"


class StorageError(SeedwrightError):
    """A table or an object store did not do what it was asked."""

    code = "storage"


class NotFoundError(StorageError):
    """No such item or object."""

    code = "not_found"


class ObjectExistsError(StorageError):
    """`put_if_absent` found an object under the key."""

    code = "object_exists"


class ConflictError(StorageError):
    """A conditional write lost: somebody else changed the item first."""

    code = "conflict"


class StorageUnavailableError(StorageError):
    """Throttled, unreachable or failing: the same call may work later."""

    code = "storage_unavailable"
    retryable = True


class StorageBusyError(StorageUnavailableError):
    """Too many requests, or another writer in the way: the same call works in a moment."""

    code = "storage_busy"


class StorageFullError(StorageError):
    """No space is left on the device (or quota)."""

    code = "storage_full"


class CorruptCheckpointError(SeedwrightError):
    """The stored checkpoint can't be read; the batches still can."""

    code = "corrupt_checkpoint"


class JobFailedError(SeedwrightError):
    """A dataset could not be finished: the message says why, and how to go on.

    `dataset` is what was generated before.
    """

    code = "job_failed"

    def __init__(self, message: str, *, dataset: Any = None) -> None:
        super().__init__(message)
        self.dataset = dataset


class ModelsFailingError(SeedwrightError):
    """No model answers, or too many records failed in a row: going on would only cost money."""

    code = "models_failing"


class ModelAccessError(SeedwrightError):
    """Somebody has to grant access to a model first: no policy, subscription or use case. Once that
    is mended, the job goes on.
    """

    code = "model_access_denied"


class QuotaUsedUpError(SeedwrightError):
    """The account's quota is used up: nothing is answered for `retry_after` seconds, where the
    provider says how long, else until the next day.
    """

    code = "quota_used_up"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoCreditError(SeedwrightError):
    """The account at a provider has no money left: nothing is answered until somebody pays in."""

    code = "no_credit"


class RecordsFailingError(SeedwrightError):
    """Too many records failed in a row by their own fault: the rest would hardly do better."""

    code = "records_failing"


class NoneAcceptedError(SeedwrightError):
    """None of many tries has passed the template's checks: the rest would hardly do better."""

    code = "none_accepted"


class CandidatesExhaustedError(SeedwrightError):
    """A job has used up its tries, and its checks have accepted too few records."""

    code = "candidates_exhausted"


class WorkersLostError(SeedwrightError):
    """Worker after worker of a job died without getting anywhere."""

    code = "workers_lost"


class ExportError(SeedwrightError):
    """The dataset could not be exported; every batch is kept."""

    code = "export_failed"
