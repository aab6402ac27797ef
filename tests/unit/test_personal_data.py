"""What `no_pii` finds and what it leaves, by pattern. Numbers are from public lists of examples:
card networks' test numbers, the registry of IBANs, documentation of telephone numbers.
"""

import pytest

from runtime.domain.checks.words import PII
from runtime.engine.rendering.personal import PATTERNS

FOUND = {
    "email": [
        "write to ann.lee+x@mail.example.org.",
        "<bob_1@sub.domain.co.uk>",
        "mailto:C@D.DE",
        "a-b%c@x-y.museum,",
    ],
    "phone": [
        "+49 30 901820",
        "+1 (202) 555-0143",
        "+442079460958",
        "call (202) 555-0143 now",
        "202-555-0143",
        "202.555.0143",
        "030 901820 00",
        "0171/1234567",
        "(030) 90182000",
    ],
    "iban": [
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "NO9386011117947",
        "IBAN: MT84 MALT 0110 0001 2345 MTLC AST0 01S.",
        "FR14 2004 1010 0505 0001 3M02 606 BANK",
    ],
    "credit_card": [
        "4111 1111 1111 1111",
        "5555555555554444",
        "3782-822463-10005",
        "6011111111111117",
        "card 3530111333300000.",
    ],
    "ip": ["8.8.8.8", "from 203.0.114.9:80", "2001:4860:4860::8888", "[2606:4700::1111]"],
    "us_ssn": ["078-05-1120", "SSN 219-09-9999."],
    "url": ["https://a.io/x?y=1", "see www.example.org", "HTTP://X.Y"],
}
LEFT = {
    "email": ["a@b", "@ann", "x @ y.de", "f(a@b)", "user@localhost", "1.5@2.5", "it's 5@ 3"],
    "phone": [
        "2026-11-28",
        "12345678901234567890",
        "1 000 000 000",
        "3.14159265358",
        "from 1990 to 2020",
        "100-200-300",
        "192.168.100.200",
        "ISBN 978-3-16-148410-0",
        "+5 points",
        "007 and 0815 4711",
    ],
    "iban": [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "XX89370400440532013000",
        "GB29 NWBK 6016 1331 9268 1",
        "AB12CD34EF56GH78",
    ],
    "credit_card": [
        "4111 1111 1111 1112",
        "1234 5678 9012 3452",
        "411111111111",
        "41111111111111111111111",
        "1.4111111111111111",
        "9999999999999995",
    ],
    "ip": [
        "192.168.0.1",
        "127.0.0.1",
        "1.2.3.4.5",
        "version 10.0.0.1",
        "999.1.1.1",
        "std::vector",
        "12:30:45",
        "fe80::1",
        "::1",
        "dead::beef",
    ],
    "us_ssn": [
        "000-12-3456",
        "666-12-3456",
        "912-34-5678",
        "123-00-4567",
        "1123-45-6789",
        "123-45-67890",
    ],
    "url": ["http is a protocol", "a/b/c", "www", "file://x", "xhttps://"],
}


def test_every_pattern_has_a_name_and_cases() -> None:
    assert set(PATTERNS) == set(PII) == set(FOUND) == set(LEFT)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in PII for text in FOUND[name]])
def test_found(name: str, text: str) -> None:
    assert PATTERNS[name](text)
    assert PATTERNS[name](f"Ann says: {text} and goes on.")


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in PII for text in LEFT[name]])
def test_left(name: str, text: str) -> None:
    assert not PATTERNS[name](text)
    assert not PATTERNS[name](f"It says: {text} and goes on.")


@pytest.mark.parametrize("name", PII)
@pytest.mark.parametrize(
    "piece",
    ["a", "0", "1", "1-", "+1", "DE89", "a@", "a.", ":", "a:", "http://", "4 ", "(0", "1.", "A1 "],
)
def test_a_long_text_takes_a_moment(name: str, piece: str) -> None:
    """The render process has 0.7 s for a text: a quadratic pattern would take minutes here."""
    PATTERNS[name](piece * (100_000 // len(piece)))
