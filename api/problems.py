"""One shape for every error that the service answers: RFC 9457 problem details."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.edge import SAFETY
from api.predictor import LackingFeaturesError
from api.store import StoreError
from api.wording import in_words
from model.forecast import ModelError, TooFewCyclesError, WindowError

MEDIA_TYPE = "application/problem+json"
LISTED = 100  # of the faults of a request
CYCLES = "a list of cycles"
BODY = ("a list of windows", CYCLES, "an object of a cycle's features")  # what it is, going inwards


class FieldError(BaseModel):
    """One fault of the request."""

    window: int | None = Field(None, description="Window at fault, from 1, of a batch")
    cycle: int | None = Field(None, description="Cycle at fault, from 1, in the posted order")
    field: str | None = Field(None, description="Field or parameter at fault")
    detail: str = Field(description="What was sent, and what is needed")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default=[], description="Each fault of the request")


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)


class ProblemResponse(JSONResponse):
    """A problem, whatever characters it repeats of the request."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare, for a route, the problems it can answer."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """Put into the OpenAPI schema what `responses` refers to."""
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    return schema


def install(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""

    @app.exception_handler(ProblemError)
    async def problem(_request: Request, error: ProblemError) -> JSONResponse:
        return _answer(error.status, error.detail, error.errors)

    @app.exception_handler(ModelError)
    async def model(_request: Request, error: ModelError) -> JSONResponse:
        is_asked_wrong = isinstance(error, TooFewCyclesError | WindowError)
        return _answer(422 if is_asked_wrong else 503, str(error))

    @app.exception_handler(LackingFeaturesError)
    async def lacking(_request: Request, error: LackingFeaturesError) -> JSONResponse:
        faults = [
            FieldError(window=window, cycle=cycle, field=name, detail="the model needs it")
            for window, cycle, name in error.faults
        ]
        return await problem(_request, refusal(faults))

    @app.exception_handler(StoreError)
    async def store(_request: Request, error: StoreError) -> JSONResponse:
        return _answer(503, str(error), headers={"Retry-After": "5"})

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        is_batch, shortest = request.url.path.endswith("/batch"), _shortest(request)
        faults = [_fault(it, is_batch, shortest) for it in errors[:LISTED]]
        return await problem(request, refusal(faults, len(errors)))

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        # it is answered outside all that adds headers to answers
        return _answer(500, "the service failed; its log has the trace", headers=SAFETY)


def refusal(faults: list[FieldError], count: int | None = None) -> ProblemError:
    """Return a 422 with the first of so many faults, the very first in words."""
    first = faults[0]
    places = (
        f"window {first.window}" if first.window else None,
        f"cycle {first.cycle}" if first.cycle else None,
        first.field,
    )
    where = ", ".join(place for place in places if place)
    detail = f"{where}: {first.detail}" if where else first.detail
    others = (count or len(faults)) - 1
    more = f" (and {others} more)" if others else ""
    return ProblemError(422, detail + more, faults[:LISTED])


def _shortest(request: Request) -> int:
    """Return how many cycles the model in use needs at least; 1 without a model."""
    try:
        return int(request.app.state.predictor.loaded().model.shortest)
    except ModelError:
        return 1


def _fault(error: dict[str, Any], is_batch: bool, shortest: int) -> FieldError:
    """Turn a validation error's location, ("body", 11, "max_temperature"), into our terms.

    In a batch, ("body", 0, 11, "max_temperature"), windows are counted before cycles.
    """
    place = error["loc"][1:]
    if error["type"] == "json_invalid":  # its location is a position in the text
        return FieldError(detail=f"not JSON from character {place[0]} on: {error['ctx']['error']}")
    numbers = [step + 1 for step in place if isinstance(step, int)]
    field = next((step for step in reversed(place) if isinstance(step, str)), None)
    whole = None if field else BODY[1 - is_batch :][len(numbers)]
    if error["type"] == "too_short" and whole == CYCLES:
        error["ctx"]["min_length"] = shortest
    window, cycle, *_ = [*numbers, None, None] if is_batch else [None, *numbers, None]
    return FieldError(window=window, cycle=cycle, field=field, detail=in_words(error, field, whole))


def _answer(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: Any = None
) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors)
    )
    return ProblemResponse(problem.model_dump(exclude_none=True), status, headers=headers)
