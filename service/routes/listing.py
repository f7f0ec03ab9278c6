"""The list of experiments: its filters, its order, its pages, and the fields of its rows."""

from typing import Annotated, Any, Literal, cast

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from normlab.spec.datasets import DatasetName
from normlab.spec.expectations import FORMAT
from normlab.spec.fields.labels import Tag, Text
from normlab.spec.fields.running import Seed
from normlab.spec.lifecycle import Status
from normlab.spec.responses import ExperimentPage, sentences
from normlab.spec.variants import Normalization
from normlab.store.listing import Filter, Order, SortKey, list_ids
from service.http.authorization import guarded_router, needs
from service.routes.cursors import CURSOR, MAX_CURSOR_LENGTH, cursor_of, parse_cursor
from service.routes.responses import Reading, json_response, next_page
from service.routes.row_fields import PATHS_PATTERN, parse_fields, rows_of
from service.routes.spec_filters import spec_filters

router = guarded_router("/experiments", tag="experiments")

NameText = Annotated[Text, Field(min_length=1)]
Sort = Literal[
    "id", "-id", "created_at", "-created_at", "ended_at", "-ended_at", "duration", "-duration", "name", "-name",
    "last_test_accuracy", "-last_test_accuracy", "best_test_accuracy", "-best_test_accuracy",
]  # fmt: skip
_FIELDS = {"pattern": PATHS_PATTERN, FORMAT: "names of fields such as id,status,spec.learning_rate"}
Fields = Annotated[str, Field(json_schema_extra=_FIELDS)]


def _filter(
    spec: Annotated[dict[str, Any], Depends(spec_filters)],
    status: Annotated[Status | None, Query(description=f"Only experiments in this state. {sentences(Status)}")] = None,
    name: Annotated[
        NameText | None, Query(description="Only experiments with this text in their name, in upper or lower case.")
    ] = None,
    normalization: Annotated[Normalization | None, Query(description="Only experiments of this variant.")] = None,
    dataset: Annotated[DatasetName | None, Query(description="Only experiments on this data set.")] = None,
    seed: Annotated[Seed | None, Query(description="Only experiments with this seed.")] = None,
    tag: Annotated[
        tuple[Tag, ...],
        Query(max_length=32, description="Only experiments with this tag. Given several times: with all of the tags."),
    ] = (),
    group: Annotated[Tag | None, Query(description="Only experiments of this group.")] = None,
) -> Filter:
    return Filter(status, normalization, dataset, group, seed, name, tag, spec)


@router.get("", summary="List experiments", response_model=ExperimentPage)
@needs("read")
def listing(
    request: Request,
    reading: Reading,
    chosen: Annotated[Filter, Depends(_filter)],
    sort: Annotated[
        Sort,
        Query(
            description="Field to sort by, ascending, or descending with `-` before it. `id` is the order of posting. "
            "`duration` is `ended_at` minus `started_at`. Names are compared in lower case. Experiments without a "
            "value come last in both directions."
        ),
    ] = "-id",
    limit: Annotated[int, Query(ge=1, le=200, description="Number of experiments on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            pattern=CURSOR,
            json_schema_extra={FORMAT: "a cursor as in the `next` of a page, such as 17"},
            max_length=MAX_CURSOR_LENGTH,
            description="Number of the last experiment of the page before. In another order than that of `id`, a comma "
            "and that experiment's value of the sort field as JSON follow. `next` holds it.",
        ),
    ] = None,
    fields: Annotated[
        Fields | None,
        Query(
            description="Only these fields of each experiment, separated by commas: those of one experiment's own "
            "response, and of its spec and its progress single ones, such as `spec.learning_rate`. Default: a summary."
        ),
    ] = None,
) -> Response:
    """Return one page, filtered and sorted, with the address of the next page."""
    order = Order(cast(SortKey, sort.removeprefix("-")), descending=sort.startswith("-"))
    after, paths = parse_cursor(cursor, order), parse_fields(fields)
    with reading() as session:
        ids, end = list_ids(session, chosen, order, limit=limit, after=after)
        rows = rows_of(session, ids, paths)
    following = None if end is None else next_page(request, cursor_of(end, order))
    return json_response({"experiments": rows, "next": following})
