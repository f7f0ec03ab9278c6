"""The glossary and the OpenAPI document: every field is described, and no retired word is used."""

import re
from pathlib import Path

import pytest

GLOSSARY = (Path(__file__).parents[2] / "docs/glossary.md").read_text()


def rows_after(heading):
    """The rows of the table under a heading of the glossary, each a list of its cells."""
    section = GLOSSARY.split(heading, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


RETIRED = [word for words, _ in rows_after("## Retired words") for word in words.split(", ")]


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def fields_in(node, path=()):
    """Yield the path and the schema of every field below a node of the document."""
    if isinstance(node, dict):
        for name, schema in node.get("properties", {}).items():
            yield (*path, name), schema
        for key, child in node.items():
            yield from fields_in(child, path if key in ("schemas", "properties") else (*path, key))
    elif isinstance(node, list):
        for child in node:
            yield from fields_in(child, path)


def described(document):
    """Yield the name and the description of every field, parameter, operation and schema."""
    for path, field in fields_in(document):
        yield " ".join(path), field.get("description", "")
    for address, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {address}", f"{operation.get('summary', '')}. {operation.get('description', '')}"
            for parameter in operation.get("parameters", []):
                yield f"{method} {address} {parameter['name']}", parameter.get("description", "")
    for name, schema in document["components"]["schemas"].items():
        yield name, schema.get("description", "")


def retired_words_in(text):
    words = re.findall(r"[a-z]+", text.lower().replace("_", " "))
    return sorted(set(RETIRED) & set(words))


class TestOpenAPI:
    def test_everything_is_described(self, document):
        """Every field of a request or response, every parameter, operation and schema has a description."""
        assert [name for name, description in described(document) if not description.strip(". ")] == []

    def test_no_retired_word_is_used(self, document):
        """No name and no description in the document has a word that the glossary retires."""
        used = {name: retired_words_in(f"{name} {description}") for name, description in described(document)}
        assert {name: words for name, words in used.items() if words} == {}


class TestGlossary:
    def test_every_word_has_one_sentence_of_meaning(self):
        """The glossary has at least 20 words, each once, and their meanings are sentences without retired words."""
        words = rows_after("# Glossary")
        assert len({word for word, _ in words}) == len(words) >= 20
        assert [word for word, meaning in words if not (meaning[0].isupper() and meaning.endswith("."))] == []

    @pytest.mark.parametrize("word", RETIRED)
    def test_retired_word_is_found(self, word):
        """The search finds each retired word in a name and in a description."""
        assert retired_words_in(f"its_{word}") == retired_words_in(f"The {word}, again.") == [word]
