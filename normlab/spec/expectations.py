"""What a JSON schema accepts, and what a JSON value is, in words. Error messages consist of these."""

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

Schema = Mapping[str, Any]
FORMAT = "x-format"  # the key of a schema under which the words for its pattern are
MAX_VALUE_LENGTH = 100  # characters of a value that a message repeats


def expectation(schema: Schema, definitions: Mapping[str, Schema], *, quoted: bool = True) -> str:
    """Return what the schema accepts, such as `a whole number from 1 to 64`.

    definitions: the schemas that a `$ref` may name. quoted: whether the value is JSON, with texts in quotes, and not a
    text itself.
    """
    alternatives = list(dict.fromkeys(_alternatives(schema, definitions, quoted=quoted)))
    # A comma before the last one, unless all are single words.
    return listed(alternatives, ", or" if any(" " in each for each in alternatives) else " or")


def values_of(schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    """Return the texts that the schema accepts if it lists them, also those of its alternatives."""
    schema = resolved(schema, definitions)
    listed = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
    return [value for value in listed if isinstance(value, str)] + [
        value for option in options_of(schema) for value in values_of(option, definitions)
    ]


def resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return the schema that a `$ref` names, or the schema itself."""
    return definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def options_of(schema: Schema) -> Sequence[Schema]:
    """Return the alternatives of a schema."""
    options: Sequence[Schema] = schema.get("anyOf", schema.get("oneOf", ()))
    return options


def listed(names: Sequence[str], last: str = " or") -> str:
    """Return the names as `a, b or c`."""
    return f"{last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def value_in_words(value: Any, *, quoted: bool = True) -> str:
    """Return a value as JSON has it, with the word for its kind. Of a long one, return its beginning and its length."""
    try:
        value = to_jsonable_python(value, fallback=str)
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # half of a surrogate pair in a key, or a value that is too deep
        text = reprlib.repr(value)
    kind, unit = KINDS.get(type(value), ("", ""))
    if len(text) > MAX_VALUE_LENGTH:
        text = f"{text[:MAX_VALUE_LENGTH]}…" + (f" of {len(value):,} {unit}" if unit else "")
    return f"{kind} {text}" if quoted and kind else text


KINDS: dict[type[Any], tuple[str, str]] = {
    str: ("the string", "characters"),
    list: ("the array", "items"),
    tuple: ("the array", "items"),
    dict: ("the object", "fields"),
}


def _alternatives(schema: Schema, definitions: Mapping[str, Schema], *, quoted: bool) -> Iterator[str]:
    schema = resolved(schema, definitions)
    if FORMAT in schema and options_of(schema):
        yield str(schema[FORMAT])
    elif "discriminator" in schema:
        kinds = listed([json.dumps(kind) for kind in schema["discriminator"]["mapping"]])
        yield f"an object whose {schema['discriminator']['propertyName']} is {kinds}"
    elif options := options_of(schema):
        for option in options:
            yield from _alternatives(option, definitions, quoted=quoted)
    elif "enum" in schema or "const" in schema:
        yield from (_text(value, quoted=quoted) for value in schema.get("enum", [schema.get("const")]))
    elif quoted or schema.get("type") != "null":  # a text cannot be null
        words = _of_type(schema)
        yield words if quoted else words.replace('"', "")


def _of_type(schema: Schema) -> str:
    match schema.get("type"):
        case "integer":
            return f"a whole number{_limits(schema)}"
        case "number":
            return f"a number{_limits(schema)}"
        case "string":
            return _string(schema)
        case "boolean":
            return "true or false"
        case "array":
            return f"an array{_count(schema, 'Items', 'items')}"
        case "null":
            return "null"
        case "object":
            return "an object"
        case _:
            return "another value"


def _string(schema: Schema) -> str:
    length = _count(schema, "Length", "characters")
    if FORMAT not in schema:
        return f"a string{length}"
    return f"a string{length} {schema[FORMAT]}" if length else str(schema[FORMAT])


def _limits(schema: Schema) -> str:
    """Return the limits of a number."""
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = " and ".join(f"{word} {_number(schema[name])}" for name, word in words.items() if name in schema)
    return f" of {limits}" if limits.startswith("at ") else f" {limits}" if limits else ""


def _count(schema: Schema, of: str, unit: str) -> str:
    """Return the limits of a number of characters or items. of: the end of the schema's keys."""
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least is None and most is None:
        return ""
    if least is None or most is None:
        return f" of at least {least:,} {unit}" if most is None else f" of at most {most:,} {unit}"
    return f" of {least:,} to {most:,} {unit}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _text(value: Any, *, quoted: bool) -> str:
    return json.dumps(value) if quoted or not isinstance(value, str) else value
