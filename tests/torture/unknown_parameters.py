"""An unknown query parameter on every operation of the OpenAPI document: none may be answered as if it were known."""

import json
import re

from tests.torture.hostile import request

VALUES = {"experiment_id": "1", "name": "weight", "suffix": "png", "split": "test", "group": "g"}


def accepted(answer):
    """Return, as the fuzz counts failures, each operation that does not refuse the parameter with 422.

    answer: sends the pieces of a request and returns the bytes of its answer.
    """
    document = json.loads(answer([request("GET", "/openapi.json")]).partition(b"\r\n\r\n")[2])
    failures = {}
    for path, operations in document["paths"].items():
        address = re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], path)
        for method in operations:
            body = b"{}" if method in ("post", "patch") else None
            content = request(method.upper(), f"{address}?nonsense=1", body)
            if not answer([content]).startswith(b"HTTP/1.1 422"):
                failures["unknown parameter", f"{method} {path}"] = "not refused", repr(content)
    return failures
