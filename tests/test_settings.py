"""Settings: defaults, environment, bounds, and the error messages for the operator."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import StartupError
from app.host import granted_cores
from app.settings import PREFIX, Settings, read_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.upper().startswith(PREFIX)]:
        monkeypatch.delenv(key)


def test_defaults_need_no_environment() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "cpu")
    assert settings.max_upload_bytes == 10_000_000
    assert settings.max_pixels == 50_000_000


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_PORT", "9000")
    monkeypatch.setenv("CLASSIFIER_DEADLINE_S", "2.5")
    monkeypatch.setenv("CLASSIFIER_MODEL_DIR", "/models/a")
    settings = read_settings()
    assert (settings.port, settings.deadline_s) == (9000, 2.5)
    assert settings.model_dir == Path("/models/a")


def test_what_is_given_goes_before_the_environment_and_none_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLASSIFIER_PORT", "9000")
    monkeypatch.setenv("CLASSIFIER_HOST", "0.0.0.0")  # noqa: S104
    settings = read_settings(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "0.0.0.0")  # noqa: S104
    assert read_settings(port=0).port == 0


def test_variables_of_others_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    assert read_settings().port == 8000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", "-1"), ("PORT", "65536"), ("PORT", "http"), ("PORT", ""),
        ("DEVICE", "tpu"), ("CORS_ORIGINS", "photos.example"), ("CORS_ORIGINS", "https://a/"),
        ("CORS_ORIGINS", "https://A.example"),
        ("WORKERS", "0"), ("WORKERS", "two"), ("THREADS_PER_WORKER", "0"),
        ("MAX_BATCH_SIZE", "0"), ("DECODERS", "0"), ("CAPACITY", "0"), ("LONGEST_WAIT_S", "0"),
        ("MAX_UPLOAD_BYTES", "999"), ("MAX_PIXELS", "999"), ("MAX_PIXELS", "1e12"),
        ("DEADLINE_S", "0"), ("DEADLINE_S", "nan"), ("DEADLINE_S", "inf"),
        ("BATCH_TIMEOUT_S", "-1"), ("START_TIMEOUT_S", "0"), ("DRAIN_TIMEOUT_S", "3601"),
        ("API_KEYS", "fifteen-letters"), ("API_KEYS", "of-sixteen-chars, fifteen-letters"),
        ("ADMIN_KEY", "fifteen-letters"), ("ADMIN_KEY", ""),
        ("DRAIN_DELAY_S", "-0.1"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"),
    ],
)  # fmt: skip
def test_out_of_bounds_is_told_in_one_line_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(f"CLASSIFIER_{key}", value)
    with pytest.raises(StartupError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"CLASSIFIER_{key}: ")
    assert "\n" not in str(caught.value)
    # The value may be a key, and the message may be written to a log.
    assert "fifteen" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("key", ["API_KEYS", "ADMIN_KEY"])
def test_a_short_key_is_an_error_that_counts_characters(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(f"CLASSIFIER_{key}", "fifteen-letters")
    with pytest.raises(StartupError) as caught:
        read_settings()
    assert str(caught.value) == f"CLASSIFIER_{key}: a key must have at least 16 characters"


@pytest.mark.parametrize(
    ("key", "value"),
    [("PORT", "0"), ("DRAIN_DELAY_S", "0"), ("MAX_BATCH_SIZE", "128"), ("DEADLINE_S", "3600")],
)
def test_bounds_are_inside(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    monkeypatch.setenv(f"CLASSIFIER_{key}", value)
    assert getattr(read_settings(), key.lower()) == float(value)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("", []),
        (" ,\n", []),
        ("of-sixteen-chars", ["of-sixteen-chars"]),
        ("of-sixteen-chars,it-has-17-letters, and-another-one-too\n",
         ["of-sixteen-chars", "it-has-17-letters", "and-another-one-too"]),
    ],
)  # fmt: skip
def test_keys_stand_between_commas_or_white_space(
    monkeypatch: pytest.MonkeyPatch, value: str, keys: list[str]
) -> None:
    monkeypatch.setenv("CLASSIFIER_API_KEYS", value)
    settings = read_settings()
    assert [key.get_secret_value() for key in settings.api_keys] == keys
    assert not [key for key in keys if key in repr(settings)]


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("CLASSIFIER_PROT", "did you mean CLASSIFIER_PORT?"),
        ("CLASSIFIER_PRT", "did you mean CLASSIFIER_PORT?"),
        ("classifier_api_key", "did you mean CLASSIFIER_API_KEYS?"),
        ("CLASSIFIER_MODEL_CONFIG", "did you mean CLASSIFIER_MODEL_DIR?"),
        ("CLASSIFIER_", "docs/settings.md lists all settings"),
    ],
)
def test_an_unknown_variable_with_our_prefix_is_refused(
    monkeypatch: pytest.MonkeyPatch, key: str, remedy: str
) -> None:
    monkeypatch.setenv(key, "9000")
    with pytest.raises(StartupError) as caught:
        read_settings()
    assert str(caught.value) == f"{key} is not a setting; {remedy}"


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(StartupError, match="CLASSIFIER_PROT"):
        read_settings(prot=9000)


def test_a_batch_has_256_photos_at_most() -> None:
    with pytest.raises(StartupError, match="CLASSIFIER_MAX_BATCH_SIZE"):
        read_settings(max_batch_size=257)


def test_the_largest_upload_and_its_form_must_find_room() -> None:
    with pytest.raises(StartupError) as caught:
        read_settings(max_upload_bytes=100_000_000)
    assert str(caught.value) == (
        "CLASSIFIER_CAPACITY_BYTES must be at least 100065536: "
        "CLASSIFIER_MAX_UPLOAD_BYTES and 65536 for the form around it"
    )
    assert read_settings(max_upload_bytes=100_000_000 - 65_536).max_body_bytes == 100_000_000


def test_a_photo_that_comes_alone_must_be_answered_before_the_deadline() -> None:
    with pytest.raises(StartupError, match="MAX_WAIT_MS must be less than CLASSIFIER_DEADLINE_S"):
        read_settings(max_wait_ms=2000, deadline_s=2)
    assert read_settings(max_wait_ms=1999, deadline_s=2).max_wait_ms == 1999


@pytest.mark.parametrize("limit", ["key_photos_per_s", "key_concurrency"])
def test_limits_by_key_need_keys(limit: str) -> None:
    with pytest.raises(StartupError, match="the keys in CLASSIFIER_API_KEYS, which has none"):
        read_settings(**{limit: 5})
    assert not read_settings(api_keys="a-key-0123456789").limits_keys
    assert read_settings(api_keys="a-key-0123456789", **{limit: 5}).limits_keys


def test_a_burst_needs_a_rate_and_follows_from_it() -> None:
    with pytest.raises(StartupError, match="CLASSIFIER_KEY_BURST needs"):
        read_settings(api_keys="a-key-0123456789", key_burst=5)
    for given, burst in (({"key_burst": 5}, 5), ({}, 40)):
        settings = read_settings(api_keys="a-key-0123456789", key_photos_per_s=40.5, **given)
        assert settings.burst == burst
    assert read_settings(api_keys="a-key-0123456789", key_photos_per_s=0.1).burst == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("key_photos_per_s", 0), ("key_burst", 0), ("key_concurrency", 0), ("key_concurrency", 4097)],
)
def test_a_share_is_more_than_nothing(name: str, value: int) -> None:
    limits = {"key_photos_per_s": 1} | {name: value}
    with pytest.raises(StartupError, match=f"CLASSIFIER_{name.upper()}"):
        read_settings(api_keys="a-key-0123456789", **limits)


def test_settings_are_frozen() -> None:
    settings, name = read_settings(), "port"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, 1)


@pytest.mark.parametrize(
    ("given", "workers", "decoders", "places"),
    [
        ({}, granted_cores(), granted_cores(), 32 * granted_cores()),
        ({"device": "gpu"}, 1, granted_cores(), 256),
        ({"device": "gpu", "workers": 2}, 2, granted_cores(), 512),
        ({"workers": 5, "decoders": 6, "capacity": 7}, 5, 6, 7),
    ],
)
def test_workers_decoders_and_places_follow_the_cores_unless_they_are_set(
    given: dict[str, Any], workers: int, decoders: int, places: int
) -> None:
    settings = read_settings(**given)
    assert (settings.worker_count, settings.decoder_count) == (workers, decoders)
    assert settings.places == places
