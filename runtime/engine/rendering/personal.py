"""Patterns of personal data: what has a form that can be told, such as an address or the number of
a card. Names of people have none.

They are careful: what is found is hardly ever anything else, and much that is personal is not
found. Each takes a time that grows with the text.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final

_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}"
    r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_URL: Final = re.compile(r"(?<![A-Za-z0-9])(?:https?://|www\.)[^\s<>\"']{3}", re.IGNORECASE)
_SSN: Final = re.compile(
    r"(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"
)
_PHONES: Final = (
    # Of the world, with a plus; of North America; of others, with a leading zero and in groups.
    re.compile(r"(?<![\w+])\+[1-9](?:[ ./()-]{0,2}[0-9]){7,14}(?![0-9])"),
    re.compile(
        r"(?<![\w.-])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?![\w-])"
    ),
    re.compile(
        r"(?<![\w./-])\(?0[1-9][0-9]{1,3}\)?[ /-][0-9]{3,8}(?:[ -][0-9]{2,8}){0,3}(?![\w./-])"
    ),
)
_PHONE_DIGITS: Final = (9, 15)
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})[0-9]{2}(?: ?[A-Z0-9]){11,30}")
_LENGTHS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29"
    " ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30"
    " KW30 KZ20 LB28 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28"
    " PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 UA29 VA22 XK20"
)
_IBAN_LENGTHS: Final[Mapping[str, int]] = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}
_CARD: Final = re.compile(r"(?<![\w.-])[2-6](?:[ -]?[0-9]){12,18}(?![\w-])")
_CARD_BEGINNINGS: Final = re.compile(
    r"4|5[1-5]|2[2-7]|3(?:[47]|0[0-5]|[689]|5)|6(?:011|4[4-9]|5|2)"
)
_IPV4: Final = re.compile(r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-]|\.[0-9])")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{3,35}[0-9A-Fa-f](?![\w:])")
_GLOBAL_V6: Final = ipaddress.ip_network("2000::/3")


def _email(text: str) -> bool:
    return _EMAIL.search(text) is not None


def _url(text: str) -> bool:
    return _URL.search(text) is not None


def _ssn(text: str) -> bool:
    return _SSN.search(text) is not None


def _phone(text: str) -> bool:
    fewest, most = _PHONE_DIGITS
    return any(
        fewest <= len(_digits(found[0])) <= most
        for pattern in _PHONES
        for found in pattern.finditer(text)
    )


def _iban(text: str) -> bool:
    """By the length of its country and its check digits (ISO 13616, ISO 7064 mod 97-10)."""
    for found in _IBAN.finditer(text):
        whole = found[0].replace(" ", "")[: _IBAN_LENGTHS.get(found[1], 0)]
        if len(whole) == _IBAN_LENGTHS.get(found[1]):
            number = int("".join(str(int(each, 36)) for each in whole[4:] + whole[:4]))
            if number % 97 == 1:
                return True
    return False


def _credit_card(text: str) -> bool:
    """By the beginnings that networks have and the check digit (Luhn, ISO 7812-1)."""
    return any(
        _CARD_BEGINNINGS.match(digits) is not None and _luhn(digits)
        for found in _CARD.finditer(text)
        for digits in [_digits(found[0])]
    )


def _luhn(digits: str) -> bool:
    total = 0
    for position, each in enumerate(reversed(digits)):
        doubled = int(each) * (1 + position % 2)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the sum of its digits
    return total % 10 == 0


def _ip(text: str) -> bool:
    """An address of the internet: those of private networks name nobody."""
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(found[0])
            except ValueError:
                continue
            if address.version == 4 and address.is_global:  # noqa: PLR2004 - IPv4
                return True
            if address.version == 6 and address in _GLOBAL_V6 and address.is_global:  # noqa: PLR2004 - IPv6
                return True
    return False


def _digits(text: str) -> str:
    return "".join(each for each in text if each.isdigit())


PATTERNS: Final[Mapping[str, Callable[[str], bool]]] = {
    "email": _email,
    "phone": _phone,
    "iban": _iban,
    "credit_card": _credit_card,
    "ip": _ip,
    "us_ssn": _ssn,
    "url": _url,
}
"""Whether a text holds some, by the names of `domain.checks.words.PII`."""
