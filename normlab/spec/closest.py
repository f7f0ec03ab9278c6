"""Which known name an unknown one was probably meant to be."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MAX_COMPARED = 100  # characters of an unknown name that are compared
SAME_BEGINNING = 4  # characters that two names must share if they are not alike otherwise


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, or None if none is.

    Case, underscores and other punctuation do not count: `learningrate` is `learning_rate`. Nor does a longer end:
    `batchnorm2d` is `batch`. The first letters of the words stand for a name: `lr` is `learning_rate`.
    """
    names = list(known)
    forms = {_form(each): each for each in reversed(names)}
    form = _form(name[:MAX_COMPARED])
    if alike := get_close_matches(form, forms, n=1):
        return forms[alike[0]]
    for each in sorted(names, key=len):
        if form == "".join(word[0] for word in re.findall("[a-z0-9]+", each.lower())) and len(form) > 1:
            return each
        if len(form) >= SAME_BEGINNING and _form(each)[:SAME_BEGINNING] == form[:SAME_BEGINNING]:
            return each
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question for an unknown name, or nothing if no known one is like it."""
    meant = closest(name, known)
    return "" if meant is None else f"did you mean {meant}?"


def _form(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
