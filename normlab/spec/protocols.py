"""The two protocols: the study with the mathematical definitions, and as the 2018 notebook ran it.

Each row is a field of the spec. The protocol decides only its default.
"""

from typing import Any, Literal

Protocol = Literal["standard", "original"]

PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "standard": {
        "shuffle": True,
        "pool_gradient": "exact",
        "filter_gradient": "exact",
        "adam_bias_correction": "power",
        "test_statistics": "own",
        "running_var_start": 1.0,
        "lambda_gradient": "sum",
        "box_cox_denominator_eps": 0.0,
        "initial_weights": "independent",
        "capture_moment": "last_step",
    },
    "original": {
        "shuffle": False,
        "pool_gradient": "copied",
        "filter_gradient": "divided_by_batch",
        "adam_bias_correction": "constant",
        "test_statistics": "slot",
        "running_var_start": 0.0,
        "lambda_gradient": "mean",
        "box_cox_denominator_eps": 1e-8,
        "initial_weights": "same_seed_per_layer",
        "capture_moment": "after_updates",
    },
}


def leave_out_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults that a protocol sets from a JSON schema of a spec.

    A generated client sends every default that it knows. With protocol `original` it would undo the protocol.
    """
    for name in PROTOCOLS["standard"]:
        schema["properties"][name].pop("default")
