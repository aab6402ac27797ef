"""Providers of models: which there are, and what opens one."""

import pytest

from runtime.domain.errors import InputError
from runtime.domain.models import price_file
from runtime.models.loop_models import LoopModels
from runtime.models.registry import BEDROCK, PROVIDERS, open_models


def test_every_provider_of_the_price_table_can_be_opened_and_no_other_has_prices() -> None:
    assert set(PROVIDERS) == set(price_file.PROVIDERS)


def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match=r"no provider 'azure' .* choose bedrock or local"):
        open_models("azure")


@pytest.mark.parametrize(("asked", "calls"), [(None, 32), (5, 5)])
def test_a_client_is_opened_for_so_many_calls(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, calls: int
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found, client = open_models(BEDROCK, asked)
    try:
        assert found == calls
        assert isinstance(client, LoopModels)
    finally:
        client.close()
