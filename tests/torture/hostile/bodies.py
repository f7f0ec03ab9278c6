"""Hostile bodies: broken JSON, encodings, and values that are wrong for a field."""

import json

from normlab.spec.experiment import ExperimentSpec
from tests.torture.hostile.parts import CONTROL, INJECTIONS, NUMBERS, ONE, SURROGATES, post, request


def raw_bodies():
    """Bodies that are not JSON, or hardly."""
    deep = 100_000
    for body in (
        b"", b" ", b"\x00", b"null", b"true", b"1", b'""', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{}x", b'{"a"}',
        b"{'a': 1}", b"{a: 1}", b"{,}", b'{"a":1,}',
        b"// a\n{}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-32"), b'{"name": "\xff"}',
        b'{"name": "\xc0\xaf"}', b'{"name": "\xed\xa0\x80"}',
        b'{"name": "a\x00b"}', b'{"name": "\\x"}', b'{"name": "\\u12"}', b'{"name": "a\nb"}', b'{"\\ud800": 1}',
        b'{"a\x00": 1}', b'{"": 1}',
        b"[" * deep, b'{"a":' * deep, b"[" * 33 + b"]" * 33, b'{"network": ' + b"[" * 30 + b"]" * 30 + b"}",
        b'"' * deep, b'"\\' * deep, b'{"name": "' + b"\\" * deep,
        b'{"seed": 1, "seed": 2}', b'{"dataset": "digits", "dataset": "nothing"}',
        b'{"protocol": "standard", "protocol": "original"}', b'{"name": 1, "name": null}',
        b'{"__proto__": {"a": 1}}', b'{"constructor": 1}', b'{"__class__": "a"}', b'{"model_config": {}}',
        b'{"self": 1}', b'{"protocol": ["standard"]}',
        b'{"protocol": {"a": 1}}', b'{"dataset": ["digits"]}', b'{"dataset": {}}', b'{"' + b"a" * 100_000 + b'": 1}',
        b'{"tags": [' + b'"a",' * 50_000 + b'"a"]}',
        b'{"network": [' + b'{"kind":"relu"},' * 20_000 + b'{"kind":"relu"}]}',
        b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}", b" " * 999_990 + b"{}",
        b"<xml/>", b"a=b&c=d", b"--a\r\nContent-Disposition: form-data; name=b\r\n\r\nc\r\n--a--", b"\x80\x04K\x01.",
        b"PK\x03\x04", b"{}" + b"\x00" * 100,
    ):  # fmt: skip
        yield post(body)
        if len(body) < 1000:
            yield request("PATCH", ONE, body)


def encodings():
    """Bodies in UTF-16 and UTF-32, where brackets, digits and quotes have other bytes."""
    bodies = (
        "{}", '{"dataset": "digits"}', '"', "[" * 300 + "]" * 300, '{"name": ' + "[" * 300 + "]" * 300 + "}",
        '{"a": "\u2200", "name": ' + "[" * 300 + "]" * 300 + "}",  # the bytes of ∀ in UTF-16 contain a quote
        '{"name": ' + '{"a":' * 300 + "1" + "}" * 301, "[" * 100_000, '{"seed": ' + "9" * 5000 + "}",
        '{"learning_rate": 1e' + "9" * 400 + "}", '{"tags": [' + "1," * 20_000 + "1]}", '{"name": "\U0001f4a9"}',
    )  # fmt: skip
    for body in bodies:
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"):
            yield post(body.encode(encoding))
            yield post(body.encode(encoding), f"Content-Type: application/json; charset={encoding}")
        yield post("\ufeff".encode("utf-16-le") + body.encode())
        yield post(body[:1].encode("utf-16-le") + body[1:].encode())
    for body in ('{"name": "\xe9"}', '{"name": "\u20ac"}'):
        for encoding in ("cp1252", "utf-7"):
            yield post(body.encode(encoding))
    yield post('{"name": "\ud83d"}'.encode("utf-8", "surrogatepass"))
    yield request("PATCH", ONE, '{"priority": 1}'.encode("utf-16"))


def numbers():
    """Every field with numbers that are out of every range."""
    for field in ExperimentSpec.model_fields:
        for number in NUMBERS:
            yield post(f'{{"dataset": "digits", "{field}": {number}}}')
    for number in NUMBERS:
        yield request("PATCH", ONE, f'{{"priority": {number}}}'.encode())


def texts():
    """Every text field with harmful texts, and every other field with some of them."""
    for field in ExperimentSpec.model_fields:
        harmful = INJECTIONS + CONTROL if field in ("name", "tags", "group", "folder", "device") else INJECTIONS[:3]
        for text in harmful:
            value = [text, text] if field in ("tags", "capture_quantities") else text
            yield post(json.dumps({"dataset": "folder" if field == "folder" else "digits", field: value}))
        for escape in SURROGATES:
            yield post(f'{{"{field}": "{escape}"}}')
    for escape in SURROGATES:
        yield post(f'{{"{escape}": 1}}')
        yield post(f'{{"tags": ["{escape}"], "group": "{escape}"}}')
        yield post(f'{{"network": [{{"kind": "{escape}", "{escape}": "{escape}"}}]}}')
        yield request("PATCH", ONE, f'{{"priority": "{escape}", "{escape}": 1}}'.encode())


def networks():
    """Lists of layers that do not fit, are too large, or are not layers."""
    relu, end = {"kind": "relu"}, [{"kind": "global_average_pool"}, {"kind": "linear", "features": 10}]
    wide = {"kind": "convolution", "channels": 4096, "kernel_size": 31}
    for network in (
        [], [None], [1], ["relu"], [[]], [{}], [relu] * 200, [relu] * 201, end * 2,
        [{"kind": "linear", "features": 65_536}] * 200,
        [wide] * 199 + end, [wide, wide, *end],
        [{"kind": "convolution", "channels": 1, "padding": 64, "kernel_size": 1}] * 100 + end,
        [{"kind": "convolution", "channels": 4, "groups": 3}, *end], [{"kind": "add", "shortcut": 10**30}, *end],
        [{"kind": "add", "shortcut": 0}, *end],
        [{"kind": "relu", "input": -(2**63)}, *end], [{"kind": "relu", "input": 5}, *end],
        [relu] * 100 + [{"kind": "add", "shortcut": -1}] * 98 + end,
        [{"kind": "max_pool", "size": 64}, *end], [{"kind": "convolution", "channels": 1e300}],
        [{"kind": "convolution", "channels": 4, "padding": "SAME"}, *end],
        [{"kind": "convolution", "channels": 4, "padding": [1]}, *end],
        [{"kind": "convolution", "channels": 4, "padding": {"a": 1}}, *end],
        [{"kind": ["relu"]}], [{"kind": {"a": 1}}], [{"kind": None}], [{"kind": "relu", "kind ": 1}], {"kind": "relu"},
        "relu", [{"kind": "dropout", "rate": 1}, *end],
    ):  # fmt: skip
        for other in (
            {},
            {"image_size": 1},
            {"image_size": 1024, "batch_size": 65_536},
            {"normalization": "group", "group_count": 4096},
        ):
            yield post(json.dumps({"dataset": "digits", "network": network} | other))
