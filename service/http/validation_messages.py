"""The words of validation errors: what each field accepts by the OpenAPI document, and what was sent.

pydantic's own messages speak of Python's types and of regular expressions, and name one limit at a time.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlab.spec.closest import did_you_mean
from normlab.spec.expectations import (
    FORMAT,
    Schema,
    expectation,
    listed,
    options_of,
    resolved,
    value_in_words,
    values_of,
)

MAX_NAME_LENGTH = 200  # characters of a field's name that a message repeats
MAX_LISTED = 20  # fields that a message lists
# Errors whose message is a sentence of our own, which says more than the schema.
OWN_MESSAGES = ("value_error", "assertion_error", "query_parameter")
NO_BODY = "expected a JSON object, such as {}"


@dataclass(frozen=True)
class Document:
    """The parts of the OpenAPI document that a request is validated against. All are empty if it has none."""

    body: Schema
    parameters: Mapping[str, Schema]
    definitions: Mapping[str, Schema]

    @classmethod
    def of(cls, document: Mapping[str, Any], path: str, method: str) -> "Document":
        """Return the parts that belong to a route."""
        operations = document.get("paths", {}).get(path, {})
        operation = operations.get(method.lower(), operations.get("get", {}))
        content = operation.get("requestBody", {}).get("content", {})
        return cls(
            body=content.get("application/json", {}).get("schema", {}),
            parameters={each["name"]: each["schema"] for each in operation.get("parameters", ())},
            definitions=document.get("components", {}).get("schemas", {}),
        )


@dataclass(frozen=True)
class Fault:
    """One error of a request.

    message: a sentence, or what was expected after the word `expected`. question: what was probably meant, or nothing.
    """

    field: str
    message: str
    got: str
    question: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a FieldError."""
        expected = self.message.removeprefix("expected ")
        return {"field": self.field, "expected": _joined(expected, self.question), "got": self.got}

    @property
    def sentence(self) -> str:
        """One line about the error. A sentence that does not begin with `expected` says itself what was sent."""
        got = f"got {self.got}" if self.message.startswith("expected ") else ""
        return f"{self.field}: {_joined(self.message, got, self.question)}"


def fault(error: Mapping[str, Any], document: Document, body: Any) -> Fault:
    """Return one of pydantic's errors in words. body: what was sent, if it was JSON."""
    where, *path = error["loc"]
    if error["type"] == "json_invalid":
        return Fault("body", "expected JSON", f"something else at character {path[0]} ({error['ctx']['error']})")
    if where == "body":
        return _Place.at(path, document, body).fault(error)
    return _of_parameter(error, path, document)


def own_error(field: str, message: str, got: Any) -> dict[str, Any]:
    """Return an error as pydantic reports one, about a field of a body that is valid by itself."""
    return {"type": "value_error", "loc": ("body", field), "msg": message, "input": got}


def without_consequences(errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the errors without those that another one causes.

    A default that depends on an invalid field has an error of its own, and a list of invalid items is too short.
    """
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "default_factory_not_called"
        if error["type"] != "too_short"
        or not any(place[: len(error["loc"])] == error["loc"] != place for place in places)
    ]


def _of_parameter(error: Mapping[str, Any], path: Sequence[int | str], document: Document) -> Fault:
    name, *inner = [*path, ""]
    schema = document.parameters.get(str(name), {})
    for part in inner[:-1]:
        schema = _inner(schema, part, document.definitions) or schema
    got = "nothing" if error["type"] == "missing" else value_in_words(error["input"], quoted=False)
    message = _message(error, schema, document.definitions, quoted=False)
    return Fault(str(name)[:MAX_NAME_LENGTH] or "query", message, got, _question(error, schema, document.definitions))


@dataclass(frozen=True)
class _Place:
    """A place in a body. name: as a user writes it, such as `network[2].channels`. owner: the schema around it."""

    name: str
    schema: Schema
    owner: Schema
    definitions: Mapping[str, Schema]
    is_sent: bool

    @classmethod
    def at(cls, path: Sequence[int | str], document: Document, body: Any) -> "_Place":
        """Return the place of an error. Pydantic's path also has the names of alternatives, which a body has not."""
        name, value, is_sent = "", body, True
        schema: Schema = document.body
        owner: Schema = {}
        for part in path:
            inner = _inner(schema, part, document.definitions)
            if inner is None and not (isinstance(value, dict) and part in value):
                if (option := _option(schema, part, document.definitions)) is not None:
                    schema = option
                continue
            name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
            schema, owner = inner or {}, schema
            is_sent, value = _sent(value, part)
        return cls(name[:MAX_NAME_LENGTH] or "body", schema, owner, document.definitions, is_sent)

    def fault(self, error: Mapping[str, Any]) -> Fault:
        """Return the error of this place in words."""
        name, got = self.name, value_in_words(error["input"])
        match error["type"]:
            case "extra_forbidden":
                return Fault(name, _unknown_field(str(error["loc"][-1]), self.owner, self.definitions), got)
            case "missing" if name == "body":
                return Fault(name, NO_BODY, "nothing or null")
            case "union_tag_invalid":
                return _unknown_kind(name, error["input"]["kind"], self.schema, self.definitions)
        if error["type"] == "missing" or not self.is_sent:
            got = "nothing"
        message = _message(error, self.schema, self.definitions, quoted=True)
        return Fault(name, message, got, _question(error, self.schema, self.definitions))


def _message(error: Mapping[str, Any], schema: Schema, definitions: Mapping[str, Schema], *, quoted: bool) -> str:
    if error["type"] in OWN_MESSAGES or not schema or _has_unnamed_format(schema, definitions):
        return str(error["msg"]).removeprefix("Value error, ")
    return f"expected {expectation(schema, definitions, quoted=quoted)}"


def _question(error: Mapping[str, Any], schema: Schema, definitions: Mapping[str, Schema]) -> str:
    if error["type"] in OWN_MESSAGES or not isinstance(error["input"], str):
        return ""
    return did_you_mean(error["input"], values_of(schema, definitions))


def _has_unnamed_format(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    schema = resolved(schema, definitions)
    return FORMAT not in schema and (
        "pattern" in schema or any(_has_unnamed_format(option, definitions) for option in options_of(schema))
    )


def _unknown_field(name: str, owner: Schema, definitions: Mapping[str, Schema]) -> str:
    known = _properties(owner, definitions)
    fields = f"the fields are {listed(list(known), ' and')}" if len(known) <= MAX_LISTED else "/docs lists the fields"
    return _joined("no field of this name", did_you_mean(name, known), fields)


def _unknown_kind(layer: str, kind: Any, schema: Schema, definitions: Mapping[str, Schema]) -> Fault:
    kinds = list(resolved(schema, definitions)["discriminator"]["mapping"])
    question = did_you_mean(kind, kinds) if isinstance(kind, str) else ""
    words = f"expected {listed([json.dumps(each) for each in kinds])}"
    return Fault(f"{layer}.kind", words, value_in_words(kind), question)


def _joined(*parts: str) -> str:
    """Return the parts that are there, with semicolons between them. After a question a sentence begins."""
    return re.sub(r"\?; (.)", lambda match: f"? {match[1].upper()}", "; ".join(filter(None, parts)))


def _sent(value: Any, part: int | str) -> tuple[bool, Any]:
    try:
        return True, value[part]
    except (KeyError, IndexError):
        return False, None
    except TypeError:  # what was sent is not known
        return True, None


def _properties(schema: Schema, definitions: Mapping[str, Schema]) -> Mapping[str, Schema]:
    properties: Mapping[str, Schema] = resolved(schema, definitions).get("properties", {})
    return properties


def _inner(schema: Schema, part: int | str, definitions: Mapping[str, Schema]) -> Schema | None:
    """Return the schema of a field or of an item, or None if the schema has no such part."""
    schema = resolved(schema, definitions)
    if isinstance(part, str):
        inner: Schema | None = schema.get("properties", {}).get(part)
    else:
        inner = schema.get("items")
    options = () if inner is not None or "discriminator" in schema else options_of(schema)
    return next((found for option in options if (found := _inner(option, part, definitions)) is not None), inner)


def _option(schema: Schema, part: int | str, definitions: Mapping[str, Schema]) -> Schema | None:
    """Return the alternative of this name."""
    mapping = resolved(schema, definitions).get("discriminator", {}).get("mapping", {})
    return definitions[mapping[part].rpartition("/")[2]] if part in mapping else None
