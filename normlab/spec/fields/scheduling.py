"""The fields that decide when an experiment runs, and for how long."""

from typing import Annotated

from pydantic import Field

from normlab.spec.fields.labels import Tag

Group = Annotated[
    Tag | None,
    Field(
        description="The group it is queued in, by a name of your choice. Among queued experiments of the same "
        "priority, groups take turns, however many experiments each has. A group can be paused and resumed as a whole. "
        "Experiments without a group form one group of their own."
    ),
]
Priority = Annotated[
    int,
    Field(
        ge=-1000,
        le=1000,
        description="Queued experiments of a higher priority are claimed first, in every group. A running "
        "experiment is not interrupted.",
    ),
]
MaxRunSeconds = Annotated[
    float | None,
    Field(
        gt=0,
        le=1e9,
        description="The experiment fails once workers have run it for more than this many seconds. The time of all "
        "attempts since it was queued, or last retried, counts. Its records are kept. Default: no limit.",
    ),
]
CheckpointSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=1e9,
        description="A checkpoint is stored at the end of every epoch. Inside an epoch another one is stored when this "
        "many seconds have passed since the last. 0: after every step, or as often as the database can store them.",
    ),
]
