"""What logs, failures.jsonl and API answers know an error by: its code never changes silently, and
what it is over HTTP is one table for handlers, local server and client.
"""

from collections.abc import Iterator

import pytest

from runtime.domain import errors
from runtime.domain.error_statuses import error_class_of, status_of

CODES = {
    "ConfigurationError": "configuration",
    "InputError": "invalid_input",
    "TemplateError": "invalid_template",
    "TemplateNotFoundError": "template_not_found",
    "SeedError": "invalid_seeds",
    "PriceError": "unknown_model",
    "RenderError": "render_failed",
    "UnclearOutputError": "unclear_output",
    "OutputError": "invalid_output",
    "BudgetExceededError": "budget_exceeded",
    "ModelError": "model_error",
    "ModelAccessError": "model_access_denied",
    "SchemaRefusedError": "schema_refused",
    "LeaseLostError": "lease_lost",
    "StorageError": "storage",
    "NotFoundError": "not_found",
    "ObjectExistsError": "object_exists",
    "ConflictError": "conflict",
    "StorageUnavailableError": "storage_unavailable",
    "StorageFullError": "storage_full",
    "CorruptCheckpointError": "corrupt_checkpoint",
    "JobFailedError": "job_failed",
    "ModelsFailingError": "models_failing",
    "NoneAcceptedError": "none_accepted",
    "CandidatesExhaustedError": "candidates_exhausted",
    "WorkersLostError": "workers_lost",
    "NoCreditError": "no_credit",
    "QuotaUsedUpError": "quota_used_up",
    "RecordsFailingError": "records_failing",
    "ExportError": "export_failed",
    "TooLargeError": "too_large",
    "BudgetTooSmallError": "budget_too_small",
    "UnauthenticatedError": "unauthenticated",
    "ForbiddenError": "forbidden",
    "LimitError": "limit_reached",
    "SeedQuotaError": "seed_quota",
    "MonthlyBudgetError": "monthly_budget",
    "LaunchError": "launch_failed",
    "LaunchQuotaError": "launch_quota",
    "StorageBusyError": "storage_busy",
    "OutputCheckError": "output_not_checked",
}
RETRYABLE = {
    *("StorageUnavailableError", "StorageBusyError"),
    *("LimitError", "LaunchError", "LaunchQuotaError"),
}

STATUSES = {
    "UnauthenticatedError": 401,
    "ForbiddenError": 403,
    "NotFoundError": 404,
    "TemplateNotFoundError": 404,
    "TooLargeError": 413,
    "InputError": 400,
    "UnclearOutputError": 400,
    "TemplateError": 400,
    "SeedError": 400,
    "PriceError": 400,
    "BudgetTooSmallError": 400,
    "RenderError": 400,
    "OutputCheckError": 400,
    "ConflictError": 409,
    "LimitError": 429,
    "SeedQuotaError": 409,
    "MonthlyBudgetError": 402,
    "ModelError": 502,
    "SchemaRefusedError": 502,
    "StorageBusyError": 503,
    "StorageFullError": 507,
}
"""Every class that is not here is the system's own fault: 500."""


def all_errors(kind: type[errors.SeedwrightError]) -> Iterator[type[errors.SeedwrightError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from all_errors(each)


CLASSES = sorted(set(all_errors(errors.SeedwrightError)), key=lambda each: each.__name__)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_the_code_of_an_error_is_stable(name: str, code: str) -> None:
    error = getattr(errors, name)
    assert error.code == code
    assert error.retryable is (name in RETRYABLE)


def test_no_two_kinds_of_error_share_a_code() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert len({each.code for each in CLASSES}) == len(CLASSES)


def test_every_error_there_is_has_its_code_written_down() -> None:
    """G3."""
    assert {each.__name__: each.code for each in CLASSES} == CODES


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_status_of_every_error_is_stable(kind: type[errors.SeedwrightError]) -> None:
    error = kind.__new__(kind)
    assert status_of(error) == STATUSES.get(kind.__name__, 500)


def test_what_is_no_error_of_ours_is_our_own_fault() -> None:
    assert status_of(ZeroDivisionError()) == 500


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_client_knows_an_error_again(kind: type[errors.SeedwrightError]) -> None:
    """By the class itself or by the one it is a kind of; 500 and above may pass."""
    status = STATUSES.get(kind.__name__, 500)
    known = error_class_of(status)
    assert STATUSES.get(known.__name__, 500) == status or known is errors.StorageUnavailableError
    assert (known is errors.StorageUnavailableError) == (status >= 500)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "InputError"),
        (401, "UnauthenticatedError"),
        (403, "ForbiddenError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (413, "TooLargeError"),
        (418, "InputError"),
        (429, "LimitError"),
        (507, "StorageUnavailableError"),
    ],
)
def test_what_a_status_means_to_a_client(status: int, name: str) -> None:
    assert error_class_of(status) is getattr(errors, name)


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    told = errors.InputError("a\nb\r\nc\u2028d\x85e")
    assert str(told).split() == list("abcde")
    assert str(told).isprintable()


def test_what_is_wrong_with_an_input_is_told_in_bounds() -> None:
    """Names in it may be as long as the input."""
    error = errors.TemplateError("x" * 10**6, problems=[("p" * 10**6, "y" * 10**6)])
    assert len(str(error)) == errors.MAX_MESSAGE_CHARACTERS + 1
    assert [len(each) for each in error.problems[0]] == [errors.MAX_MESSAGE_CHARACTERS + 1] * 2
