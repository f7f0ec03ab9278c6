"""Hostile requests, written by hand. Each is a name, its pieces, and whether it must be answered."""

from tests.torture.hostile.bodies import encodings, networks, numbers, raw_bodies, texts
from tests.torture.hostile.connections import dripping, framing, protocols, request_lines, truncated
from tests.torture.hostile.headers import conditionals, headers, hosts_and_origins, keys
from tests.torture.hostile.parts import names, request
from tests.torture.hostile.paths import figures, paths, queries

__all__ = ["names", "request", "requests"]

NEED_NO_ANSWER = (request_lines, protocols, headers, framing, truncated)  # incomplete, or not read to their end


def requests():
    """Yield all requests, always in this order."""
    for family in (
        request_lines, protocols, headers, hosts_and_origins, keys, framing, truncated, dripping, paths, queries,
        raw_bodies, encodings, numbers, texts, networks, conditionals, figures,
    ):  # fmt: skip
        for number, content in enumerate(family()):
            pieces = [content] if isinstance(content, bytes) else content
            yield f"{family.__name__} {number}", pieces, family not in NEED_NO_ANSWER
