"""Example specs for the documentation page. Each runs as it stands."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "baseline": {"summary": "The article's baseline on STL-10", "value": {}},
    "digits": {
        "summary": "Batch normalization on digits, a few seconds",
        "value": {"dataset": "digits", "normalization": "batch", "epochs": 5},
    },
    "original": {
        "summary": "Instance normalization as the 2018 notebook ran it, but with shuffling",
        "value": {
            "dataset": "digits",
            "normalization": "instance",
            "protocol": "original",
            "shuffle": True,
            "epochs": 5,
        },
    },
    "network": {
        "summary": "A network of two convolutions",
        "value": {
            "dataset": "digits",
            "normalization": "layer",
            "epochs": 5,
            "network": [
                {"kind": "convolution", "channels": 32, "kernel_size": 5, "stride": 2, "padding": 2},
                {"kind": "relu"},
                {"kind": "normalization"},
                {"kind": "convolution", "channels": 10},
                {"kind": "global_average_pool"},
            ],
        },
    },
}
