"""A cycler's file in, features and forecast out: read and computed as the fleet's are."""

import asyncio
import re
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from api import problems
from api.answers import Curve, RecordedCycle
from api.batteries import Text
from api.forecasts import Ahead, Answer, EndOfLife, NextCycle
from api.outlooks import lacking, outlooks
from api.predictor import Loaded
from api.problems import ProblemError
from api.scratch import Scratch, UncomputableError, scratch
from api.state import TheModel
from api.store import Row, Store, StoreError
from loader import load, options, pool
from loader.battery import LoaderError
from loader.reading import Reading

HORIZON = 200  # cycles ahead
UPLOADS = 4  # at once: two are worked on, the others wait
ARRIVES_IN_S = 300.0
READ_S = 120.0
SHARE = 4  # one part in so many of the machine's memory is for reading a file
LONGEST_NAME = 200  # bytes

router = APIRouter(tags=["forecast"], responses=problems.responses(400, 408, 413, 422, 503))

Volts = Annotated[float | None, Query(gt=0, le=1e3, allow_inf_nan=False)]


def said(
    rated_capacity_ah: Annotated[
        float | None,
        Query(ge=1e-6, le=1e4, allow_inf_nan=False, description="Without it SOH is not known"),
    ] = None,
    cutoff_v: Annotated[Volts, Query(description="Voltage where capacity is defined")] = None,
    full_charge_v: Annotated[
        Volts, Query(description="A battery resting below it has not been fully charged")
    ] = None,
    ambient_temperature_c: Annotated[
        float | None,
        Query(ge=-60, le=150, allow_inf_nan=False, description="Where no sensor tells it"),
    ] = None,
    current_sign: Annotated[
        Literal["charge-positive", "discharge-positive"] | None,
        Query(description="Where neither states nor counters tell"),
    ] = None,
    battery_id: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=100,
            pattern=Text,
            description="Whose all files of an archive are",
        ),
    ] = None,
    battery_column: Annotated[
        str | None, Query(max_length=200, description="Column that tells the battery, of several")
    ] = None,
    column: Annotated[
        Sequence[str],
        Query(max_length=20, description="ROLE=NAME[:UNIT], where the header does not tell"),
    ] = (),
) -> Reading:
    """What the file cannot say of its batteries, in the words of `python -m loader`."""
    if battery_id and battery_column:
        raise ProblemError(422, "say one of battery_id and battery_column")
    try:
        columns = options.columns(column)
    except LoaderError as error:
        raise ProblemError(422, _in_our_terms(str(error))) from None
    return Reading(
        columns, current_sign, battery_id, battery_column,
        rated_capacity_ah, cutoff_v, full_charge_v, ambient_temperature_c,
    )  # fmt: skip


class FileBattery(BaseModel):
    """A battery in the file."""

    battery_id: str
    rated_capacity_ah: float | None
    cycles: list[RecordedCycle]
    curve: Curve | None = Field(description="Samples of the last usable cycle; null without one")
    next_cycle: NextCycle | None = Field(description="null where a window is lacking")
    forecast: Ahead | None
    refused: str | None = Field(description="Why there is no forecast")


class FileAnswer(Answer):
    """What a file holds, and what is forecast from it."""

    filename: str
    notes: list[str] = Field(description="What looks odd in the file, or was passed over")
    batteries: list[FileBattery]


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "What a cycler wrote, or a zip archive of it, up to "
                            "256 MiB",
                        }
                    },
                }
            }
        },
    }
}
_uploads = threading.BoundedSemaphore(UPLOADS)


@router.post("/predict/file", response_model=FileAnswer, openapi_extra=BODY)
async def predict_file(
    request: Request, loaded: TheModel, reading: Annotated[Reading, Depends(said)]
) -> Response:
    """Read a cycler's file, tell its cycles and their features, and forecast its batteries.

    It is read by the loader's own readers and computed by the same SQL as the fleet, in a database
    of its own, of which nothing is kept.
    """
    # FastAPI itself would read the body before it asks who may send one
    async with _received(request) as upload:
        return await run_in_threadpool(_response, upload, reading, loaded)


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[UploadFile]:
    """Give the posted file, once all of it is on disk."""
    if not _uploads.acquire(blocking=False):
        raise StoreError(f"{UPLOADS} other files are on their way: try again")
    try:
        try:
            async with asyncio.timeout(ARRIVES_IN_S):
                form = await request.form(max_files=1, max_fields=10)
        except TimeoutError:
            raise HTTPException(408, "the file did not arrive in time") from None
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise ProblemError(
                    422, "send the file as multipart/form-data, in the field named file"
                )
            yield file
        finally:
            await form.close()
    finally:
        _uploads.release()


def _response(upload: UploadFile, reading: Reading, loaded: Loaded) -> Response:
    """Write the answer here: it is long, and the service's loop has others to answer."""
    answer = _answer(upload, reading, loaded)
    return Response(answer.model_dump_json(), media_type="application/json")


def _answer(upload: UploadFile, reading: Reading, loaded: Loaded) -> FileAnswer:
    name = _plain(upload.filename or "")
    with scratch() as own:
        folder = own.folder / "posted"
        folder.mkdir()
        with (folder / name).open("wb") as file:
            shutil.copyfileobj(upload.file, file, 1 << 20)
        notes = _loaded(own, folder / name, reading)
        try:
            own.compute()
        except UncomputableError as error:
            raise ProblemError(422, f"{name}: no features can be computed: {error}") from None
        store = Store(own.connect)
        try:
            rows = [store.rows("battery", **it)[0] for it in store.rows("known")]
            told = outlooks(store, loaded, rows, HORIZON)
            batteries = [_battery(store, loaded, *it) for it in zip(rows, told, strict=True)]
        finally:
            store.close()
    return FileAnswer(
        **loaded.origin({"is_simulated": any(row["is_simulated"] for row in rows)}),
        filename=name,
        notes=notes,
        batteries=batteries,
    )


def _plain(name: str) -> str:
    """Return the name of a file without folders, as any file system takes it."""
    name = PurePosixPath(name.replace("\\", "/")).name
    name = "".join(it if it.isprintable() else "_" for it in name)
    while len(name.encode()) > LONGEST_NAME:
        name = name[1:]  # its end tells the format
    return name if name.strip(".") else "file"


def _loaded(own: Scratch, file: Path, reading: Reading) -> list[str]:
    """Load a file; return what is odd in it. Raises ProblemError where it cannot be read."""
    # once for all files; each process imports what this one was started as, too
    pool.start(
        "loader.load", "loader.readers.matlab", "loader.readers.text", "scipy.io", "uvicorn.main"
    )
    order = load.Order(own.url, reading, since=None)
    outcomes = pool.alone(partial(load.load_apart, order), file, READ_S, SHARE)
    if isinstance(outcomes, pool.Died):
        raise ProblemError(422, f"{file.name}: {outcomes.how}")
    for it in outcomes:
        if it.is_fatal:
            raise StoreError(it.failure or "")
    failures = [_named(it.shown, it.failure) for it in outcomes if it.failure]
    notes = [_named(it.shown, note) for it in outcomes for note in it.notes]
    if not any(it.said for it in outcomes):
        why = [*failures, *notes, f"{file.name}: there are no recordings in it"]
        raise ProblemError(422, _in_our_terms(why[0]).replace("passed over: ", ""))
    return [_in_our_terms(it) for it in [*failures, *notes]]


def _named(file: str, said: str) -> str:
    return said if said.startswith(file) else f"{file}: {said}"


def _in_our_terms(said: str) -> str:
    """Name the loader's options as this route does: --rated-capacity-ah is rated_capacity_ah."""
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda it: it[1].replace("-", "_"), said)


def _battery(store: Store, loaded: Loaded, row: Row, told: Any) -> FileBattery:
    battery_id = row["battery_id"]
    cycles = store.rows("cycles", battery_id=battery_id, limit=None, offset=0, after=None)
    last = {"battery_id": battery_id, "cycle_index": row["last_cycle_index"]}
    curves = store.rows("curve", **last)
    return FileBattery(
        battery_id=battery_id,
        rated_capacity_ah=row["rated_capacity_ah"],
        cycles=cycles,
        curve=Curve(battery_id=battery_id, **curves[0]) if curves else None,
        next_cycle=NextCycle.of(told.next_cycle) if told and told.next_cycle else None,
        forecast=_forecast(row, told) if told else None,
        refused=_refusal(row, cycles, loaded) if not (told and told.next_cycle) else None,
    )


def _forecast(row: Row, told: Any) -> Ahead:
    trajectory = told.trajectory
    return Ahead(
        is_unlike_training=bool(told.unlike),
        unlike_training=told.unlike,
        horizon=HORIZON,
        soh=trajectory.soh,
        soh_low=trajectory.soh_low,
        soh_high=trajectory.soh_high,
        end_of_life=EndOfLife.of(trajectory, row),
        is_reached=trajectory.end_of_life is not None,
    )


def _refusal(row: Row, cycles: list[Row], loaded: Loaded) -> str | None:
    """Say why there is no forecast of a battery, or none of the next cycle."""
    if not cycles:
        return "there is no discharge in the file"
    if not row["cycles"]:
        reasons = Counter(it["reason"] for it in cycles).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        return f"none of its discharges is usable: {listed}"
    if row["rated_capacity_ah"] is None:
        return "its rated capacity is not known: send rated_capacity_ah"
    if row["cycles"] < loaded.model.shortest:
        return f"{row['cycles']} cycles, a forecast of the next needs {loaded.model.shortest}"
    return lacking(row)
