"""Where a model can be called from. A place is a region of AWS, or the beginning of several ones
that ends with a hyphen: `eu-` is all of Europe.
"""

from collections.abc import Iterable, Mapping
from typing import Final

PROFILE_PLACES: Final[Mapping[str, tuple[str, ...] | None]] = {
    "us.": ("us-east-", "us-west-"),
    "eu.": ("eu-",),
    "apac.": ("ap-",),
    "jp.": ("ap-northeast-1", "ap-northeast-3"),
    "au.": ("ap-southeast-2", "ap-southeast-4"),
    "global.": None,
}
"""Prefixes of inference profiles, and where each is called from where its row doesn't say it; None:
everywhere."""


def lies_in(region: str, places: Iterable[str]) -> bool:
    """Whether the region is one of the places, or in one."""
    return any(
        region == place or (place.endswith("-") and region.startswith(place)) for place in places
    )


def own_id(model_id: str) -> str:
    """The model's id without the prefix of a profile."""
    prefix = next((each for each in PROFILE_PLACES if model_id.startswith(each)), "")
    return model_id.removeprefix(prefix)
