"""`python -m normlab.spec`: print the reference of the spec, docs/spec.md, from the fields themselves."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layers import AnyLayerSpec
from normlab.spec.protocols import PROTOCOLS

SIMPLE_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}


def main() -> None:
    """Print the page."""
    # Not the parser of normlab.process: the spec needs pydantic alone.
    argparse.ArgumentParser(
        prog="python -m normlab.spec", description="Print the reference of the spec as Markdown.", allow_abbrev=False
    ).parse_args()
    print(reference(), end="")


def reference() -> str:
    """The reference as Markdown: the fields of a spec, of each layer, and what the protocols set."""
    schema = ExperimentSpec.model_json_schema()
    parts = [
        "# The spec",
        "`POST /experiments` takes these fields as a JSON object. Every field has a default. `{}` is valid: it is the "
        "article's baseline on STL-10. An unknown field, a number in quotes or a value outside its limits is refused.",
        _table(ExperimentSpec, schema["properties"]),
        "## Layers",
        "`network` is a list of layers. Each has a `kind` and, by default, takes the output of the layer before it.",
        *_layers(schema["$defs"]),
        "## Protocols",
        "`protocol` sets the defaults of these fields. Each can also be set alone.",
        _protocols(),
    ]
    return "\n\n".join(parts) + "\n"


def _layers(definitions: Mapping[str, Any]) -> Iterator[str]:
    for layer in get_args(AnyLayerSpec):
        definition = definitions[layer.__name__]
        yield f"### {', '.join(f'`{kind}`' for kind in _kinds(definition))}"
        yield definition["description"]
        yield _table(layer, {name: field for name, field in definition["properties"].items() if name != "kind"})


def _kinds(definition: Mapping[str, Any]) -> list[str]:
    kind = definition["properties"]["kind"]
    return list(kind.get("enum", [kind.get("const")]))


def _table(model: Any, properties: Mapping[str, Any]) -> str:
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in properties.items():
        rows.append(f"| `{name}` | {_type(field)} | {_default(model, name)} | {_cell(field['description'])} |")
    return "\n".join(rows)


def _default(model: Any, name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or isinstance(field.default, tuple):
        return "see meaning"
    return f"`{json.dumps(field.default, ensure_ascii=False)}`"


def _type(field: Mapping[str, Any]) -> str:
    """The type of a field with its limits, in words."""
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(dict.fromkeys(_type(option) for option in field.get("anyOf", field.get("oneOf"))))
    if field.get("type") == "null":
        return "null"
    if field.get("type") == "array":
        return "list"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    return SIMPLE_TYPES.get(field.get("type", ""), "value") + _limits(field)


def _limits(field: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_number(field[name])}" for name, sign in words.items() if name in field]
    if "maxLength" in field:
        limits.append(f"of at most {field['maxLength']} characters")
    return f" {', '.join(limits)}" if limits else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _cell(text: str) -> str:
    """The text in one cell of a table, which has no paragraphs and no lists of its own."""
    return text.replace("|", "\\|").replace("\n- ", "<br>• ").replace("\n\n", "<br>").replace("\n", " ")


def _protocols() -> str:
    rows = ["| field | `standard` | `original` |", "|---|---|---|"]
    for name, value in PROTOCOLS["standard"].items():
        rows.append(f"| `{name}` | `{json.dumps(value)}` | `{json.dumps(PROTOCOLS['original'][name])}` |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
