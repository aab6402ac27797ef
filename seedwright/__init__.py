"""Synthetic datasets from prompt templates and seed data: durable, and within a hard budget.

    import seedwright

    dataset = seedwright.generate("template.yaml", [{"topic": "tea"}], n=100, budget="0.50")
    for record in dataset:
        ...

Names are imported when they are first used, so that the import itself costs next to nothing. What
they name is in the package `runtime`, whose own modules may change at any time.
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from sys import modules
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runtime.client.api_client import Client
    from runtime.client.jobs import Job
    from runtime.datasets.beforehand import estimate, preview, validate
    from runtime.datasets.checks import StepCheck, TemplateCheck
    from runtime.datasets.dataset import Dataset, Preview
    from runtime.datasets.library import generate, resume
    from runtime.doctor.examination import doctor
    from runtime.doctor.finding import Finding
    from runtime.domain.errors import (
        BudgetExceededError,
        BudgetTooSmallError,
        ConfigurationError,
        ConflictError,
        ExportError,
        ForbiddenError,
        InputError,
        JobFailedError,
        LimitError,
        MonthlyBudgetError,
        NotFoundError,
        PriceError,
        SeedError,
        SeedwrightError,
        StorageError,
        StorageUnavailableError,
        TemplateError,
        TemplateNotFoundError,
        TooLargeError,
        UnauthenticatedError,
    )
    from runtime.guide.guide import guide
    from runtime.progress.meter import Snapshot

__all__ = [
    "BudgetExceededError",
    "BudgetTooSmallError",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "CostEstimate",
    "Dataset",
    "ExportError",
    "Finding",
    "ForbiddenError",
    "InputError",
    "Job",
    "JobFailedError",
    "LimitError",
    "MonthlyBudgetError",
    "NotFoundError",
    "Preview",
    "PriceError",
    "SeedError",
    "SeedwrightError",
    "Snapshot",
    "StepCheck",
    "StorageError",
    "StorageUnavailableError",
    "TemplateCheck",
    "TemplateError",
    "TemplateNotFoundError",
    "TooLargeError",
    "UnauthenticatedError",
    "doctor",
    "estimate",
    "generate",
    "guide",
    "preview",
    "resume",
    "validate",
]

_ERRORS: Final = "runtime.domain.errors"
_MODULES: Final = {
    "Client": "runtime.client.api_client",
    "Job": "runtime.client.jobs",
    "CostEstimate": "runtime.datasets.estimating",
    "Dataset": "runtime.datasets.dataset",
    "Preview": "runtime.datasets.dataset",
    "Snapshot": "runtime.progress.meter",
    "Finding": "runtime.doctor.finding",
    "StepCheck": "runtime.datasets.checks",
    "TemplateCheck": "runtime.datasets.checks",
    "doctor": "runtime.doctor.examination",
    "estimate": "runtime.datasets.beforehand",
    "generate": "runtime.datasets.library",
    "guide": "runtime.guide.guide",
    "preview": "runtime.datasets.beforehand",
    "resume": "runtime.datasets.library",
    "validate": "runtime.datasets.beforehand",
}
"""Where a name is from; the others are errors."""


if not TYPE_CHECKING:  # a type checker reads the imports above, and knows what does not exist

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_imported(_MODULES.get(name, _ERRORS)), name)
        globals()[name] = value
        return value


def _imported(name: str) -> ModuleType:
    """A module, imported in a thread of its own: a Ctrl-C that came in the middle of an import
    would leave half of a module behind, for as long as the process lives.
    """
    if name not in modules:
        thread = Thread(target=_try_import, args=(name,), daemon=True)
        thread.start()
        thread.join()
    return import_module(name)  # there by now, or it says why not


def _try_import(name: str) -> None:
    with suppress(BaseException):
        import_module(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_runtime() -> None:
    """Raises `ImportError` where another `runtime` would be imported in place of ours."""
    try:
        found = find_spec("runtime")
    except ValueError:  # a module in sys.modules that doesn't say where it is from
        found = None
    origin = None if found is None else found.origin
    ours = Path(__file__).resolve().parent.parent / "runtime" / "__init__.py"
    if origin is None or Path(origin).resolve() != ours:
        raise ImportError(
            f"Seedwright's own package 'runtime' is hidden by another module of that name "
            f"({origin or 'without a file'}): rename it, or take its folder off sys.path"
        )


_check_runtime()
