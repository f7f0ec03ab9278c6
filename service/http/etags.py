"""ETags and conditional requests (RFC 9110, 8.8.3 and 13.1.2). A tag changes whenever the bytes of its answer could.

The tag of JSON and CSV is a hash of their bytes. The tag of a figure is a hash of what it is drawn from, which is known
before it is drawn: see service/http/content_token.py.
"""

import hashlib
import re
from collections.abc import Mapping

from fastapi import Request, Response

ALWAYS_REVALIDATE = "private, no-cache"
FOR_A_YEAR = "private, max-age=31536000, immutable"
KEPT_IN_304 = ("cache-control", "content-location", "etag", "vary")  # RFC 9110, 15.4.5; the server adds the date

_OPAQUE_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


def digest_of(content: bytes) -> str:
    """Return a hash of 128 bits, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def weak(digest: str) -> str:
    """Return the tag of an answer that may be compressed: a strong one would have to differ between the codings."""
    return f'W/"{digest}"'


def strong(digest: str) -> str:
    """Return the tag of an answer that always has the same bytes."""
    return f'"{digest}"'


def has_current(request: Request, etag: str) -> bool:
    """Return whether If-None-Match lists the tag, by weak comparison."""
    return _opaque(etag) in _OPAQUE_TAG.findall(_if_none_match(request))


def has_any(request: Request) -> bool:
    """Return whether If-None-Match is `*`: the client has an answer already, whichever it is."""
    return _if_none_match(request).strip() == "*"


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return the 304 in place of a 200 that has these headers."""
    return Response(status_code=304, headers={name: headers[name] for name in KEPT_IN_304 if name in headers})


def validated(request: Request, response: Response) -> Response:
    """Return the response to a GET with ETag and Cache-Control, or 304 if the client has it already."""
    if response.status_code != 200 or "etag" in response.headers or not isinstance(response.body, bytes):
        return response
    response.headers["etag"] = weak(digest_of(response.body))
    response.headers.setdefault("cache-control", ALWAYS_REVALIDATE)
    if has_current(request, response.headers["etag"]) or has_any(request):
        return not_modified(response.headers)
    return response


def _if_none_match(request: Request) -> str:
    return ",".join(request.headers.getlist("if-none-match"))


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")
