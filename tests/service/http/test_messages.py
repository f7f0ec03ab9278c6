"""The words of refusals: for each of many wrong bodies and addresses, what the problem document says."""

import pytest

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.clients import problem

LAST = [{"kind": "convolution", "channels": 10}, {"kind": "global_average_pool"}]
KINDS = (
    '"activation", "add", "average_pool", "convolution", "dropout", "elu", "gelu", "global_average_pool", '
    '"leaky_relu", "linear", "max_pool", "normalization", "relu", "silu" or "tanh"'
)
VARIANTS = (
    '"none", "batch", "layer", "instance", "box_cox", "group", "rms", "filter_response", "range", "yeo_johnson", '
    '"dynamic_tanh" or "weight_standardization"'
)
QUANTITIES = (
    '"weight_gradient", "input_gradient", "weight", "weight_minus_gradient", "update", "norm_output_gradient" or '
    '"norm_input_gradient"'
)
UNKNOWN = "no field of this name; did you mean"
EPOCHS = "epochs: expected a whole number from 1 to 100,000; got"
SEED = "seed: expected a whole number of at least 0 and below 4,294,967,296; got"
RATE = "learning_rate: expected a number above 0 and at most 10; got"
TAG = "tags[0]: expected a string of 1 to 64 characters without control characters; got"
NAME = "name: expected a string of at most 200 characters without control characters, or null; got"
CHANNELS = 'network[0].channels: expected a whole number from 1 to 4,096, or "classes"; got'
PADDING = 'network[0].padding: expected "same", or a whole number from 0 to 64; got'


def first(**layer):
    """A body whose network begins with this layer."""
    return {"network": [layer, *LAST]}


BODIES = [
    ({"normalisation": "batch"}, f"normalisation: {UNKNOWN} normalization? /docs lists the fields"),
    ({"learningrate": 1}, f"learningrate: {UNKNOWN} learning_rate? /docs lists the fields"),
    ({"optimiser": "sgd"}, f"optimiser: {UNKNOWN} optimizer? /docs lists the fields"),
    ({"lr": 1}, f"lr: {UNKNOWN} learning_rate? /docs lists the fields"),
    ({"xyz": 1}, "xyz: no field of this name; /docs lists the fields"),
    (
        {"normalization": "batchnorm"},
        f'normalization: expected {VARIANTS}; got the string "batchnorm"; did you mean batch?',
    ),
    (
        {"normalization": "BatchNorm2d"},
        f'normalization: expected {VARIANTS}; got the string "BatchNorm2d"; did you mean batch?',
    ),
    (
        {"dataset": "CIFAR-10"},
        'dataset: expected "stl10", "digits", "cifar10", "fashion_mnist", "folder" or "synthetic"; got the string '
        '"CIFAR-10"; did you mean cifar10?',
    ),
    ({"optimizer": "adamw"}, 'optimizer: expected "adam" or "sgd"; got the string "adamw"; did you mean adam?'),
    ({"optimizer": None}, 'optimizer: expected "adam" or "sgd"; got null'),
    ({"epochs": "5"}, f'{EPOCHS} the string "5"'),
    ({"epochs": None}, f"{EPOCHS} null"),
    ({"epochs": True}, f"{EPOCHS} true"),
    ({"epochs": [1]}, f"{EPOCHS} the array [1]"),
    ({"epochs": {"a": 1}}, f'{EPOCHS} the object {{"a": 1}}'),
    ({"epochs": 1.5}, f"{EPOCHS} 1.5"),
    ({"epochs": 0}, f"{EPOCHS} 0"),
    ({"epochs": 1e300}, f"{EPOCHS} 1e+300"),
    ({"seed": -1}, f"{SEED} -1"),
    ({"seed": 2**32}, f"{SEED} 4294967296"),
    ({"learning_rate": 0}, f"{RATE} 0"),
    ({"learning_rate": "0.1"}, f'{RATE} the string "0.1"'),
    ({"shuffle": "yes"}, 'shuffle: expected true or false; got the string "yes"'),
    ({"shuffle": 1}, "shuffle: expected true or false; got 1"),
    ({"tags": "a"}, 'tags: expected an array of at most 32 items; got the string "a"'),
    ({"tags": None}, "tags: expected an array of at most 32 items; got null"),
    ({"tags": ["a\n"]}, f'{TAG} the string "a\\n"'),
    ({"tags": [""]}, f'{TAG} the string ""'),
    ({"tags": [5]}, f"{TAG} 5"),
    (
        {"tags": ["x"] * 40},
        "tags: expected an array of at most 32 items; got the array [" + '"x", ' * 19 + '"x",… of 40 items',
    ),
    ({"name": "a\tb"}, f'{NAME} the string "a\\tb"'),
    ({"name": "x" * 201}, f'{NAME} the string "{"x" * 99}… of 201 characters'),
    (
        {"group": ""},
        'group: expected a string of 1 to 64 characters without control characters, or null; got the string ""',
    ),
    ({"background": "white"}, 'background: expected a colour such as "#ff8800"; got the string "white"'),
    (
        {"device": "tpu"},
        'device: expected "auto", "cpu", "mps", "cuda", or "cuda:1" with the number of a GPU; got the string "tpu"',
    ),
    (
        {"capture_quantities": ["weights"]},
        f'capture_quantities[0]: expected {QUANTITIES}; got the string "weights"; did you mean weight?',
    ),
    ({"network": "resnet"}, 'network: expected an array of 1 to 200 items; got the string "resnet"'),
    ({"network": []}, "network: expected an array of 1 to 200 items; got the array []"),
    ({"network": [5]}, f"network[0]: expected an object whose kind is {KINDS}; got 5"),
    ({"network": [{}]}, f"network[0]: expected an object whose kind is {KINDS}; got the object {{}}"),
    (first(kind="conv2d"), f'network[0].kind: expected {KINDS}; got the string "conv2d"; did you mean convolution?'),
    (first(kind=5), f"network[0].kind: expected {KINDS}; got 5"),
    (first(kind="convolution", channels="10"), f'{CHANNELS} the string "10"'),
    (first(kind="convolution", channels=0), f"{CHANNELS} 0"),
    (first(kind="convolution", channels="clases"), f'{CHANNELS} the string "clases"; did you mean classes?'),
    (first(kind="convolution"), f"{CHANNELS} nothing"),
    (
        first(kind="convolution", channels=8, kernel=3),
        f"network[0].kernel: {UNKNOWN} kernel_size? The fields are input, kind, channels, kernel_size, stride, "
        "padding, groups and bias",
    ),
    (first(kind="convolution", channels=8, padding=65), f"{PADDING} 65"),
    (first(kind="convolution", channels=8, padding="valid"), f'{PADDING} the string "valid"'),
    (first(kind="dropout", rate=1), "network[0].rate: expected a number of at least 0 and below 1; got 1"),
    (
        {"warmup_epochs": 5, "epochs": 5},
        "warmup_epochs: expected fewer than `epochs`, which is 5: some epochs must have the full rate; got 5",
    ),
    (
        {"dataset": "folder"},
        "folder: expected a folder with dataset `folder`, and none with any other dataset; got nothing",
    ),
    ({"test_fraction": 0.5}, "test_fraction: expected only with dataset `folder`; leave it out; got 0.5"),
    (
        {"dataset": "digits", "train_size": 9999},
        "train_size: expected at most 1438: digits has 1438 train images; got 9999",
    ),
    (
        {"network": [{"kind": "convolution", "channels": 7}, LAST[1]]},
        "network: the network ends in 7 logits, the data set has 10 classes; let the last layer output 10",
    ),
    ([1], "body: expected an object; got the array [1]"),
    ("x", 'body: expected an object; got the string "x"'),
    (None, "body: expected a JSON object, such as {}; got nothing or null"),
]
CHANGES = [
    ({"priorty": 1}, f"priorty: {UNKNOWN} priority? The fields are name, tags and priority"),
    ({"priority": "high"}, 'priority: expected a whole number from -1,000 to 1,000; got the string "high"'),
]
ADDRESSES = [
    ("/experiments?limit=x", 'limit: expected a whole number from 1 to 200; got "x"'),
    ("/experiments?limit=1.5", 'limit: expected a whole number from 1 to 200; got "1.5"'),
    (
        "/experiments?status=run",
        'status: expected queued, running, paused, succeeded, failed or cancelled; got "run"; did you mean running?',
    ),
    ("/experiments?spec.shuffle=maybe", 'spec.shuffle: expected true or false; got "maybe"'),
    (
        "/experiments?spec.device=tpu",
        'spec.device: expected auto, cpu, mps, cuda, or cuda:1 with the number of a GPU; got "tpu"',
    ),
    ("/experiments?tag=", 'tag: expected a string of 1 to 64 characters without control characters; got ""'),
    ("/experiments?cursor=*", 'cursor: expected a cursor as in the `next` of a page, such as 17; got "*"'),
    ("/experiments?limit=1&limit=2", 'limit: expected once, because it has one value; got ["1", "2"]'),
    (
        "/histograms?quantity=weight",
        "experiments: expected 1 to 50 numbers such as 1,2,3; got nothing",
    ),
    (
        "/histograms?quantity=weight&experiments=a",
        'experiments: expected 1 to 50 numbers such as 1,2,3; got "a"',
    ),
    (
        "/experiments/1/layers?quantity=weights",
        f'quantity: expected {QUANTITIES}; got "weights"; did you mean weight?'.replace(
            QUANTITIES, QUANTITIES.replace('"', "")
        ),
    ),
    ("/experiments/1/histograms?quantity=weight&low=2&high=1", "low: expected a number below high, 1; got 2.0"),
    ("/experiments/1/plots/loss.png?scale=log", 'scale: expected linear or symlog; got "log"; did you mean symlog?'),
]


def texts(cases):
    """The names of the cases in the output of pytest."""
    return [str(each)[:60] for each, _ in cases]


class TestBodies:
    @pytest.mark.parametrize(("body", "message"), BODIES, ids=texts(BODIES))
    def test_refused_spec(self, client, body, message):
        """A refused spec is answered with this sentence, in JSON's words."""
        assert problem(client.post("/experiments", json=body), 422)["detail"] == message

    @pytest.mark.parametrize(("body", "message"), CHANGES, ids=texts(CHANGES))
    def test_refused_change(self, client, body, message):
        """A refused change of an experiment is answered with this sentence."""
        assert problem(client.patch("/experiments/1", json=body), 422)["detail"] == message


class TestAddresses:
    @pytest.mark.parametrize(("address", "message"), ADDRESSES, ids=texts(ADDRESSES))
    def test_refused_parameter(self, client, address, message):
        """A refused parameter of an address is answered with this sentence."""
        assert problem(client.get(address), 422)["detail"] == message

    def test_every_format_has_words(self):
        """No message shows a regular expression: every pattern in the document has words beside it."""
        document = create_app(ServiceSettings()).openapi()
        assert list(patterns_without_words(document)) == []


class TestAllFaults:
    def test_of_one_body(self, client):
        """All faults of a body are listed: of fields, of layers that are no layers, and the first is the detail."""
        body = {"epochs": 0, "sede": 1, "network": [{"kind": "convolution", "channels": 0}, {"kind": "x"}]}
        response = problem(client.post("/experiments", json=body), 422)
        fields = [error["field"] for error in response["errors"]]
        assert fields == ["network[0].channels", "network[1].kind", "epochs", "sede"]
        assert response["detail"].endswith("got 0 (and 3 more: see errors)")

    def test_of_layers_beside_fields(self, client):
        """Layers that do not fit are listed beside invalid fields, as far as these do not decide the shapes."""
        layers = [
            {"kind": "normalization"}, {"kind": "normalization"}, {"kind": "add", "shortcut": 9},
            {"kind": "convolution", "channels": 8, "groups": 2}, {"kind": "add", "shortcut": 7},
        ]  # fmt: skip
        body = {"normalization": "bach", "group_count": 0, "epochs": 0, "network": [*layers, *LAST]}
        response = problem(client.post("/experiments", json=body), 422)
        fields = [error["field"] for error in response["errors"]]
        assert fields == ["normalization", "group_count", "network[1]", "network[2]", "network[3]", "epochs"]

    def test_of_sizes(self, client):
        """An experiment that is too large in two ways is refused with both, and the settings that limit it."""
        network = [*[{"kind": "convolution", "channels": 4096, "kernel_size": 31}] * 3, *LAST]
        response = problem(client.post("/experiments", json={"network": network, "batch_size": 1000}), 422)
        assert [error["expected"].rpartition("; ")[2] for error in response["errors"]] == [
            "NORMLAB_MAX_CHECKPOINT_BYTES sets the limit", "NORMLAB_MAX_ACTIVATION_BYTES sets the limit",
        ]  # fmt: skip


class TestIntegers:
    def test_are_those_of_json_schema(self, client):
        """A number without a fraction is an integer however it is written, in a body and in an address."""
        content = b'{"dataset": "digits", "epochs": 2.0, "seed": 3e0, "priority": -1.0, "network": [{"kind": "linear", '
        content += b'"features": 10.0, "input": -1.0}]}'
        response = client.post("/experiments", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 201
        assert '"epochs":2,' in response.text
        spec = response.json()["spec"]
        assert (spec["seed"], spec["priority"], spec["network"][0]["features"]) == (3, -1, 10)
        assert client.patch("/experiments/1", json={"priority": 4.0}).json()["priority"] == 4
        assert [row["id"] for row in client.get("/experiments?limit=1.0&seed=3.0").json()["experiments"]] == [1]


def patterns_without_words(node, inside_words=False):
    """Yield every pattern below a node of the document that has no words, nor is in an alternative that has."""
    if isinstance(node, dict):
        has_words = inside_words or "x-format" in node
        if isinstance(node.get("pattern"), str) and not has_words:
            yield node["pattern"]
        node = [(child, has_words and key in ("anyOf", "oneOf")) for key, child in node.items()]
        for child, covered in node:
            yield from patterns_without_words(child, covered)
    elif isinstance(node, list):
        for child in node:
            yield from patterns_without_words(child, inside_words)
