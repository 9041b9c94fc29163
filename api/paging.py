"""Pages that neither repeat nor leave out a row, whatever is built between them.

The next page begins after the last row of this one, by the values that rows are sorted by; `offset`
counts rows, which a build may put before it.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query, Request

from api.problems import FieldError, refusal

Limit = Annotated[int, Query(ge=1, le=5000, description="Rows of a page")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Rows before the page")]
After = Annotated[
    str | None,
    Query(max_length=600, description="Where the page begins: from the Link of the one before"),
]


def place(after: str | None, *kinds: Callable[[Any], Any]) -> list[Any]:
    """Return the values that `after` stands for, None without one; raises a 422 for others."""
    if after is None:
        return [None] * len(kinds)
    try:
        values = json.loads(base64.urlsafe_b64decode(after.encode()))
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, OverflowError):
        detail = "it is no place between two rows: take it from the Link of the page before"
        raise refusal([FieldError(field="after", detail=detail)]) from None


def name(value: Any) -> str:
    """Return text that PostgreSQL takes; raises ValueError for other."""
    text = str(value)
    if "\0" in text.encode().decode():
        raise ValueError("NUL")
    return text


def cut(
    request: Request, rows: Sequence[Mapping[str, Any]], limit: int, *sorted_by: str
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """Return a page of the rows, of which there is one more than fits if it is not the last.

    And the header Link to the next one: after the last row, by the columns that rows are sorted by.
    """
    if len(rows) <= limit:
        return list(rows), {}
    last = [rows[limit - 1][column] for column in sorted_by]
    told = json.dumps(last, ensure_ascii=False, default=str).encode()
    after = base64.urlsafe_b64encode(told).decode()
    url = request.url.remove_query_params("offset").include_query_params(after=after)
    return list(rows[:limit]), {"Link": f'<?{url.query}>; rel="next"'}
