"""The shape of what is sent to the API and what it answers."""

from pydantic import BaseModel, ConfigDict


class ApiModel(BaseModel):
    """A body, a query or an answer. Fields that it doesn't have are refused, and types are exact:
    `true` and `"5"` are no numbers.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class NoBody(ApiModel):
    """No body, or no query parameters."""
