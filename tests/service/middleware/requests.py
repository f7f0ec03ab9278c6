"""Requests over a real socket."""

import http.client
import json

SMALL = json.dumps({"dataset": "digits"}).encode()


def ask(port, method="GET", path="/experiments", body=None, **headers):
    """Return the status, the headers and the body of a response. Underscores in a header's name become dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given = {"content-type": "application/json"} | given
    connection.request(method, path, body, given)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text
