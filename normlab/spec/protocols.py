"""The two protocols: the study without the 2018 notebook's errors, and as the notebook ran it.

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
