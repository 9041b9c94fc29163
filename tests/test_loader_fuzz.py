"""The readers on files that nobody wrote on purpose: an error of ours, and soon, or a battery."""

import io
import random
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from binary_copy import encode
from loader import archive, pool
from loader.battery import Battery, LoaderError
from tests.conftest import NASA, matlab_file
from tests.test_loader_sources import as_matlab_73, zipped

SOON_S = 30  # for what takes milliseconds
MUTANTS = 300

numbers = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.uint8, np.int64, np.complex128, np.bool_]),
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)
values = st.one_of(
    numbers,
    st.floats(),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10),
    st.builds(lambda: np.array([["a", 1.0]], dtype=object)),
    st.dictionaries(st.sampled_from(["Time", "data", "x"]), numbers, min_size=1, max_size=2),
)
DISCHARGE = ("Voltage_measured", "Current_measured", "Temperature_measured", "Current_load",
             "Voltage_load", "Time", "Capacity")  # fmt: skip
STEP = ("comment", "type", "date", "relativeTime", "time", "voltage", "current", "temperature")
whole = arrays.arrays(np.float64, st.just((1, 3)))


def right(name: str) -> st.SearchStrategy[Any]:
    """What a field holds in a file that is in order."""
    if name in ("comment", "type", "date"):
        return st.sampled_from(["C", "D", "rest"])
    return st.floats() if name == "Capacity" else whole


@st.composite
def records(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, Any]:
    """A struct in order but for a field or two: another value, or none."""
    record = {name: draw(right(name)) for name in names}
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        record[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        del record[name]
    return record


def entries(given_records: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """A struct array; a field that a record lacks is empty."""
    names = sorted({name for record in given_records for name in record}) or ["nothing"]
    array = np.empty((1, len(given_records)), dtype=[(name, object) for name in names])
    for at, record in enumerate(given_records):
        for name in names:
            array[0, at][name] = record.get(name, np.empty((0, 0)))
    return array


@st.composite
def aging(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(st.lists(records(("type", "ambient_temperature", "time")), max_size=3))
    kinds = st.sampled_from(["charge", "discharge", "impedance"])
    for head in heads:
        head |= {"type": draw(kinds), "time": draw(arrays.arrays(np.float64, (1, 6)))}
        head["data"] = draw(st.one_of(records(DISCHARGE), values))
    return {"B1": {"cycle": entries(heads) if draw(st.booleans()) else draw(values)}}


@st.composite
def randomized(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(records(STEP), max_size=3))
    return {"data": {"step": entries(steps), "procedure": draw(values)}}


def attempt(content: bytes) -> str:
    """Read bytes as every kind of file; returns what came of it. Anything but ours is raised."""
    said = []
    try:
        battery = matlab_file(content, "B1")
    except LoaderError as error:
        said.append(str(error))
    else:
        assert isinstance(battery, Battery)
        for rows in battery.tables.values():
            assert sum(map(len, encode(rows))) > 0
        said.append(f"{battery.samples} samples")
    for _, found in archive.members(io.BytesIO(content), lambda it: True):
        assert isinstance(found, bytes | LoaderError)
    return said[0]


def mat(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content)
    return buffer.getvalue()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(aging(), randomized(), st.fixed_dictionaries({"B1": values})))
def test_any_structure_is_read_or_refused(content: dict[str, Any]) -> None:
    said = attempt(mat(content))
    assert "\n" not in said


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused(content: bytes) -> None:
    assert "samples" not in attempt(content)


def mutants(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of `content` with bytes flipped, overwritten, cut out or put in."""
    rng = random.Random(seed)
    for _ in range(count):
        mutant = bytearray(content)
        # Half of the faults go where the structure is described: into the first kilobytes.
        for _ in range(rng.randint(1, 8)):
            end = min(len(mutant), 4096) if rng.random() < 0.5 else len(mutant)
            at = rng.randrange(end)
            match rng.randrange(4):
                case 0:
                    mutant[at] ^= 1 << rng.randrange(8)
                case 1:
                    mutant[at : at + 4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 14]).to_bytes(
                        4, "little"
                    )
                case 2:
                    del mutant[at : at + rng.randrange(1, 200)]
                case _:
                    mutant[at:at] = rng.randbytes(rng.randrange(1, 200))
        yield bytes(mutant)


def timed(content: bytes) -> str:
    signal.alarm(SOON_S)  # ends the process: a C loop hears no exception
    try:
        return attempt(content)
    finally:
        signal.alarm(0)


def survive(content: bytes, seed: int) -> None:
    """Read mutants of a file in a process of its own; asserts that all are read or refused."""
    pool.start(__name__)  # or each worker imports it anew
    said = []
    content = b"MATLAB 5.0 MAT-file".ljust(116) + content[116:]  # the header tells the time
    for _, outcome in pool.run(timed, mutants(content, MUTANTS, seed), jobs=1):
        if isinstance(outcome, pool.Died):
            # scipy follows wrong lengths out of its memory; neither a hang nor memory run out.
            assert any(it in outcome.how for it in ("SIGSEGV", "SIGABRT", "SIGBUS")), outcome.how
            outcome = outcome.how
        said.append(outcome)
    assert len(said) == MUTANTS
    refused = [it for it in said if "samples" not in it]
    assert len(refused) > MUTANTS / 10, "the mutants were hardly wrong: nothing was tried"


@pytest.fixture(scope="module")
def small(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated file without compression, so that mutants get past its checksums."""
    path = tmp_path_factory.mktemp("small") / "S0001.mat"
    cell = loadmat(recordings / "S0001.mat")["S0001"]
    cycle = cell["cycle"][0, 0][:, :30]
    savemat(path, {"S0001": {"cycle": cycle}}, do_compression=False)
    return path


def test_mutants_of_a_plain_file(small: Path) -> None:
    survive(small.read_bytes(), seed=1)


def test_mutants_of_a_compressed_file(recordings: Path) -> None:
    survive((recordings / "SRW1.mat").read_bytes(), seed=2)


def test_mutants_of_a_matlab_73_file(small: Path) -> None:
    survive(as_matlab_73(small), seed=3)


def test_mutants_of_an_archive(small: Path) -> None:
    inner = zipped(**{"S0001.mat": small.read_bytes()[:100_000]})
    content = zipped(**{"inner.zip": inner, "b.mat": b"x" * 1000})
    assert zipfile.is_zipfile(io.BytesIO(content))
    survive(content, seed=4)


@pytest.mark.nasa
def test_mutants_of_nasas_bytes() -> None:
    assert NASA is not None
    survive((NASA / "aging" / "B0050.mat").read_bytes(), seed=5)
