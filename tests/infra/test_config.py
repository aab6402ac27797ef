"""What can be set from the command line, and what is refused."""

from pathlib import Path

import pytest

from cdk_app.config import DEV, KEYS, PROD, check_keys, stage_from


def test_dev_is_the_default() -> None:
    assert stage_from(lambda _: None) == DEV


def test_production_is_asked_for() -> None:
    assert stage_from({"stage": "prod"}.get) == PROD


def test_settings_go_over_the_stage() -> None:
    stage = stage_from(
        {
            "stage": "prod",
            "network": "private",
            "alarm_email": "ops@example.com",
            "cors_origins": "https://a.example.com, http://localhost:5173/",
            "self_sign_up": "true",
            "bundle_for": "this-machine",
            "zones": "2",
            "reserve_sweeper": "true",
            "monthly_budget_usd": "250",
            "user_monthly_budget_usd": 20,
            "seed_quota_gib": "200",
            "max_workers": "80",
            "user_workers": "100",
            "worker_hours": "2",
            "model_tokens_per_minute": "8000000",
            "cost_tags_active": True,
            "monitoring_references": "both",
            "python_image": "python:3.13-slim@sha256:" + "0" * 64,
        }.get
    )

    assert stage.retain_data
    assert stage.network == "private"
    assert stage.alarm_email == "ops@example.com"
    assert stage.cors_origins == ("https://a.example.com", "http://localhost:5173")
    assert stage.self_sign_up
    assert stage.bundle_for == "this-machine"
    assert (stage.zones, stage.reserve_sweeper) == (2, True)
    assert (stage.monthly_budget_usd, stage.user_monthly_budget_usd) == (250, 20)
    assert stage.seed_quota_gib == 200
    assert (stage.max_workers, stage.user_workers, stage.worker_hours) == (80, 100, 2)
    assert stage.model_tokens_per_minute == 8_000_000
    assert (stage.cost_tags_active, stage.monitoring_references) == (True, "both")
    assert stage.python_image == "python:3.13-slim@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stage", "staging"),
        ("network", "vpn"),
        ("alarm_email", "nobody"),
        ("alarm_email", "@"),
        ("alarm_email", "a@example.com, b@example.com"),
        ("cors_origins", "*"),
        ("cors_origins", "http://example.com"),
        ("cors_origins", "http://localhost.example.com"),
        ("cors_origins", "https://example.com/path"),
        ("self_sign_up", "maybe"),
        ("bundle_for", "x86"),
        ("zones", "1"),
        ("zones", "seven"),
        ("monthly_budget_usd", "0"),
        ("monthly_budget_usd", "9.99"),
        ("user_monthly_budget_usd", "-5"),
        ("seed_quota_gib", "0"),
        ("max_workers", "91"),
        ("user_workers", "0"),
        ("worker_hours", "0.5"),
        ("model_tokens_per_minute", "2M"),
        ("reserve_sweeper", "1"),
        ("monitoring_references", "strong"),
        ("python_image", "python:3.13-slim"),
        ("python_image", "python@sha256:00"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=key):
        stage_from({key: value}.get)


def test_a_file_may_give_a_boolean() -> None:
    assert stage_from({"self_sign_up": True}.get).self_sign_up


def test_f12_a_stage_may_bring_its_own_prices(tmp_path: Path) -> None:
    own, broken = tmp_path / "own.json", tmp_path / "broken.json"
    own.write_text('{"models": []}', encoding="utf-8")
    broken.write_text("[]", encoding="utf-8")

    assert stage_from({"prices": str(own)}.get).price_file == own
    assert DEV.price_file is None
    for path in (broken, tmp_path / "missing.json"):
        with pytest.raises(ValueError, match="is not a price file"):
            stage_from({"prices": str(path)}.get)


def test_a_key_that_is_nearly_one_is_told() -> None:
    """It would be ignored, and no mail would come."""
    asked: set[str] = set()

    def ask(key: str) -> object:
        asked.add(key)
        return None

    stage_from(ask)
    assert asked == KEYS
    check_keys([*KEYS, "@aws-cdk/core:newStyle", "aws:cdk:bundling-stacks", "availability-zones:1"])
    for key, near in (("zone", "zones"), ("alarm-email", "alarm_email"), ("price", "prices")):
        with pytest.raises(ValueError, match=f"did you mean {near}"):
            check_keys([key])
