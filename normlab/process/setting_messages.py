"""What is wrong with the settings of the environment, in sentences that each name the setting."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from normlab.spec.closest import did_you_mean
from normlab.spec.expectations import expectation

PREFIX = "NORMLAB_"
# Of every program. A program leaves the settings of the others alone, but a name that none of them has is misspelt.
NAMES = (
    "ALLOW_REMOTE_WITHOUT_KEY", "ALLOWED_HOSTS", "ALLOWED_ORIGINS", "DATA_DIR", "DATABASE_URL", "HOST", "LEASE_SECONDS",
    "LOCAL_WORKER", "LOCAL_WORKERS", "MAX_ACTIVATION_BYTES", "MAX_ATTEMPTS", "MAX_CHECKPOINT_BYTES",
    "POLL_INTERVAL_SECONDS", "PORT", "REQUESTS_PER_SECOND", "REQUIRE_KEY", "STARTUP_TIMEOUT_SECONDS",
    "STEP_TIMEOUT_SECONDS",
)  # fmt: skip
SECRET = "database_url"  # it may hold a password, so its value is not repeated


def unknown_settings(environment: Mapping[str, str], settings: type[BaseSettings]) -> Iterator[str]:
    """Yield a sentence for each variable that begins as a setting does and is none."""
    known = [PREFIX + name for name in dict.fromkeys((*NAMES, *map(str.upper, settings.model_fields)))]
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            question = did_you_mean(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known])
            hint = question.replace("mean ", f"mean {PREFIX}") or f"the settings are {', '.join(known)}."
            yield f"{name}: there is no such setting; {hint} Correct it or unset it"


def invalid_settings(error: ValidationError, settings: type[BaseSettings]) -> Iterator[str]:
    """Yield a sentence for each invalid setting: what it accepts, and its value."""
    schema = settings.model_json_schema()
    for each in error.errors():
        field, value = str(each["loc"][0]), each["input"]
        if each["type"] == "value_error":
            yield f"{PREFIX}{field.upper()}: {each['msg'].removeprefix('Value error, ')}"
        elif each["type"] != "default_factory_not_called":  # the error of the setting that it depends on says more
            expected = expectation(schema["properties"][field], schema.get("$defs", {}), quoted=False)
            yield f"{PREFIX}{field.upper()}: expected {expected}" + ("" if field == SECRET else f"; got {_text(value)}")


def unreadable_lists(settings: type[BaseSettings]) -> Iterator[str]:
    """Yield a sentence for each setting that must be JSON and is not."""
    for field, schema in settings.model_json_schema()["properties"].items():
        name = PREFIX + field.upper()
        if schema.get("type") == "array" and name in os.environ and not _is_json(os.environ[name]):
            yield f'{name}: expected a JSON array such as ["lab.example"]; got {_text(os.environ[name])}'


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)
