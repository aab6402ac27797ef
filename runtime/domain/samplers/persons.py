"""`person_from_faker`: a made-up person of a country, by the library Faker, which is an extra.

It is imported by the process that draws, when the first person is drawn. What it draws depends on
its version, which is pinned exactly for that reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final

from runtime.domain.errors import TemplateError
from runtime.domain.outputs.types import Scalar, Struct, Type
from runtime.domain.samplers.chance import Chance

MALE: Final = "Male"
FEMALE: Final = "Female"
SEXES: Final = (FEMALE, MALE)
DEFAULT_LOCALE: Final = "en_US"
DEFAULT_AGES: Final = (18, 114)
MAX_AGE: Final = 130

_TEXTS: Final = (
    *("first_name", "last_name", "sex", "street_number", "street_name", "postcode", "city"),
    *("email_address", "phone_number", "occupation", "locale"),
)
FIELDS: Final = ("first_name", "last_name", "sex", "age", *_TEXTS[3:])
_ONE_AT_A_TIME: Final = Lock()
"""A generator is seeded and then asked, which two threads must not mix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """An object of `FIELDS`: texts, and `age` as a whole number of `age_range`, ends included."""

    locale: str = DEFAULT_LOCALE
    sex: str | None = None
    age_range: tuple[int, int] = DEFAULT_AGES

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> dict[str, Any]:
        with _ONE_AT_A_TIME:
            faker = _faker(self.locale)
            faker.seed_instance(chance.bits)
            sex = self.sex or SEXES[int(chance.uniform * len(SEXES))]
            is_male = sex == MALE
            return {
                "first_name": faker.first_name_male() if is_male else faker.first_name_female(),
                "last_name": faker.last_name_male() if is_male else faker.last_name_female(),
                "sex": sex,
                "age": faker.random_int(*self.age_range),
                "street_number": faker.building_number(),
                "street_name": faker.street_name(),
                "postcode": faker.postcode(),
                "city": faker.city(),
                "email_address": faker.ascii_safe_email(),
                "phone_number": faker.phone_number(),
                "occupation": faker.job(),
                "locale": self.locale,
            }

    def check(self) -> None:
        """Raises `TemplateError` without the extra, and for a locale that is not in it."""
        if find_spec("faker") is None:
            raise TemplateError(
                "person_from_faker needs the extra faker where the template is used, which is not"
                ' installed: pip install "seedwright[faker]"'
            )
        with _ONE_AT_A_TIME:
            _faker(self.locale)

    @property
    def kind(self) -> Type:
        return Struct(
            tuple((name, Scalar.INT64 if name == "age" else Scalar.STRING) for name in FIELDS)
        )

    def document(self) -> dict[str, Any]:
        sex = {} if self.sex is None else {"sex": self.sex}
        return {"locale": self.locale, **sex, "age_range": list(self.age_range)}


@cache
def _faker(locale: str) -> Any:
    from faker import Faker  # noqa: PLC0415 - an extra, and slow to import

    try:
        return Faker(locale)
    except AttributeError as exc:
        raise TemplateError(f"person_from_faker: there is no locale {locale!r}") from exc
