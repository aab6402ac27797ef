"""What logs, failures.jsonl and API answers know an error by: its code never changes silently."""

import pytest

from runtime.domain import errors

CODES = {
    "ConfigurationError": "configuration",
    "InputError": "invalid_input",
    "TemplateError": "invalid_template",
    "TemplateNotFoundError": "template_not_found",
    "SeedError": "invalid_seeds",
    "PriceError": "unknown_model",
    "RenderError": "render_failed",
    "OutputError": "invalid_output",
    "BudgetExceededError": "budget_exceeded",
    "ModelError": "model_error",
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
    "ExportError": "export_failed",
}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_the_code_of_an_error_is_stable(name: str, code: str) -> None:
    error = getattr(errors, name)
    assert error.code == code
    assert error.retryable is (name == "StorageUnavailableError")


def test_no_two_kinds_of_error_share_a_code() -> None:
    assert len(set(CODES.values())) == len(CODES)
