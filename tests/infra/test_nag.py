"""cdk-nag's AwsSolutions rules: every finding is fixed, or acknowledged where it arises."""

from tests.infra.conftest import Synthesized


def test_nothing_is_found(app: Synthesized) -> None:
    assert app.findings == []
