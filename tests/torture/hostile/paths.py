"""Hostile paths and query parameters."""

from urllib.parse import quote, quote_from_bytes

from tests.torture.hostile.parts import CONTROL, INJECTIONS, NUMBERS, ONE, OVERLONG, names, request


def paths():
    """Paths out of the tree, with all spellings of dots and slashes, and wrong experiment numbers."""
    up = (
        "..",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "..%00",
        "%c0%ae%c0%ae",
        "%u002e%u002e",
        "....",
        "..;",
        "%ef%bc%8e%ef%bc%8e",
    )
    for dots in up:
        for slash in ("/", "%2f", "%5c", "\\", "%252f", "%c0%af"):
            yield request("GET", f"/experiments/{dots}{slash}{dots}{slash}etc{slash}passwd")
    for base in (
        "/experiments/{}",
        "/experiments/{}/metrics",
        "/experiments/1/plots/{}.png",
        "/plots/{}-accuracy.svg",
        "/experiments/1/plots/loss.{}",
    ):
        for part in (
            "0", "-1", "+1", "1.0", "1e0", "0x1", "01", "%31", "%EF%BC%91", "%D9%A1", "1%00", "1%20", "%201", "1_0",
            "2147483648", "9" * 19, "9" * 5000,
            "NaN", "null", "true", "%00", "%0d%0aSet-Cookie:a=b", "%ff", "%ed%a0%80", "%", "%zz", "%1", "*", "{}",
            "1;a=b", "1,2",
        ):  # fmt: skip
            yield request("GET", base.format(part))
    for text in (*INJECTIONS, *CONTROL):
        yield request("POST", f"/groups/{quote(text, safe='')}/pause")
    for raw in OVERLONG:
        yield request("GET", f"/experiments/{quote_from_bytes(raw)}")
        yield request("POST", f"/groups/{quote_from_bytes(raw)}/resume")
    for path in (
        "/groups/" + "a/" * 20_000 + "pause",
        "/" + "%2e/" * 20_000,
        "/experiments/" * 500,
        "/livez/",
        "//livez",
        "/./livez",
        "/experiments/1//plots",
    ):
        yield request("POST" if "pause" in path else "GET", path)


def queries():
    """Every query parameter with values that are wrong for it."""
    wanted = {
        "/experiments": (
            "status", "name", "normalization", "dataset", "seed", "tag", "group", "sort", "limit", "cursor", "fields",
            "spec.learning_rate", "spec.folder", "spec.shuffle",
        ),
        "/groups": ("limit", "cursor"),
        f"{ONE}/layers": ("quantity", "layer", "epoch", "format"),
        f"{ONE}/histograms": ("quantity", "binning", "bins", "low", "high"),
        "/histograms": ("experiments", "quantity", "bins", "low", "high"),
        f"{ONE}/plots/weight_gradient.png": ("epoch", "axis", "scale"),
        "/plots/test-accuracy.png": ("experiments",),
    }  # fmt: skip
    odd = (
        *INJECTIONS, *CONTROL, *(number for number in NUMBERS if number.isprintable()), "id," * 5000, ",", ",,",
        "1," * 60, "1,1,1", "1,-1", "1, 2",
        "MQ", "MQ==", "LTE=", "AAAA", "====", "YWJj", "MTAwMDAwMDAwMDAwMDAwMDAwMDA=", "4pyT", "id,id,id", "id,nothing",
        "links.self",
    )  # fmt: skip
    for path, parameters in wanted.items():
        needed = "quantity=weight&" if path.endswith("/histograms") else ""
        for name in parameters:
            for index, text in enumerate(odd):
                if index % len(wanted) == len(name) % len(wanted) or name in ("tag", "cursor", "fields", "experiments"):
                    given = needed if name != "quantity" else ""
                    yield request("GET", f"{path}?{given}{name}={quote(text, safe='')}")
        for name in parameters:
            for raw in OVERLONG[:3]:
                yield request("GET", f"{path}?{name}={quote_from_bytes(raw)}")
    for query in (
        "?",
        "&",
        "=",
        "%",
        "%zz=1",
        "a=%",
        "limit=1&limit=2",
        "limit[]=1",
        "limit%00=1",
        "&" * 10_000,
        "a;b=c",
        "\xff",
        "tag=a&" * 2000,
    ):
        yield request("GET", "/experiments?" + query)


def figures():
    """Figures of experiments with harmful names."""
    for number in range(1, len(names()) + 1):
        yield request("GET", f"/experiments/{number}/plots/loss.svg")
        yield request("GET", f"/experiments/{number}/plots/weight_gradient.{'png' if number % 4 else 'gif'}")
    several = ",".join(map(str, range(1, len(names()) + 1)))
    yield request("GET", f"/plots/test-accuracy.svg?experiments={several}")
    yield request("GET", f"/plots/train-accuracy.png?experiments={several}")
