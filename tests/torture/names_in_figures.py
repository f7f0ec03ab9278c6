"""Names in many scripts, in every figure of a real service: no heading may lose a word."""

import json

from tests.service.plots.names import lost_words
from tests.torture.hostile import request

EXPERIMENT = "/experiments/1"


def lost(answer, names):
    """Return, as the fuzz counts failures, each figure that lacks a word of a name.

    answer: sends the pieces of a request and returns the bytes of its answer.
    """
    index = json.loads(_body(answer([request("GET", f"{EXPERIMENT}/plots")])))
    addresses = [f"{EXPERIMENT}/plots/{plot['name']}.svg" for plot in index["plots"]]
    addresses.append("/plots/test-accuracy.svg?experiments=1")
    failures = {}
    for name in names:
        answer([request("PATCH", EXPERIMENT, json.dumps({"name": name}).encode())])
        for address in addresses:
            svg = answer([request("GET", address)])
            words = lost_words(_body(svg), name) if svg.startswith(b"HTTP/1.1 200") else ["no figure"]
            if words:
                failures["name in a figure", address] = f"lacks {words}", repr(name)
    return failures


def _body(answer):
    return answer.partition(b"\r\n\r\n")[2]
