"""One shape for every error that the service answers: RFC 9457 problem details."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.predictor import LackingFeaturesError
from api.store import StoreError
from model.forecast import ModelError, TooFewCyclesError, WindowError

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One fault of the request."""

    window: int | None = Field(None, description="Window at fault, from 1, of a batch")

    cycle: int | None = Field(None, description="Cycle at fault, from 1, in the posted order")
    field: str | None = Field(None, description="Field at fault")
    detail: str = Field(description="What is wrong with it")


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


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare, for a route, the problems it can answer."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FieldError"]  # $ref would dangle
    content = {MEDIA_TYPE: {"schema": schema}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


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
    async def validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        return await problem(_request, refusal([_fault(it) for it in error.errors()]))

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return _answer(500, "the service failed; its log has the trace")


def refusal(faults: list[FieldError]) -> ProblemError:
    """Return a 422 with all faults, the first of them in words."""
    first = faults[0]
    places = (
        f"window {first.window}" if first.window else None,
        f"cycle {first.cycle}" if first.cycle else None,
        first.field,
    )
    where = ", ".join(place for place in places if place)
    detail = f"{where}: {first.detail}" if where else first.detail
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ProblemError(422, detail + more, faults[:100])


def _fault(error: dict[str, Any]) -> FieldError:
    """Turn a validation error's location, ("body", 11, "max_temperature"), into our terms."""
    place = error["loc"][1:]
    if error["type"] == "json_invalid":  # its location is a position in the text
        return FieldError(detail=f"not JSON: {error['ctx']['error']}")
    numbers = [step + 1 for step in place if isinstance(step, int)]
    field = next((step for step in reversed(place) if isinstance(step, str)), None)
    return FieldError(
        window=numbers[-2] if len(numbers) > 1 else None,
        cycle=numbers[-1] if numbers else None,
        field=field,
        detail=error["msg"],
    )


def _answer(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: Any = None
) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors)
    )
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)
