"""The page's files, compressed on their way: what draws the charts is 4.8 MB, gzipped 1.5."""

import gzip
from functools import lru_cache
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Scope

SMALLEST = 500  # bytes; below it nothing is saved


class Assets(StaticFiles):
    """Static files, each gzipped once and kept in memory, with word of how long to keep them."""

    def __init__(self, cache_control: str, **places: Any) -> None:
        super().__init__(**places)
        self._cache_control = cache_control

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = self._cache_control
        answer.headers["Vary"] = "Accept-Encoding"
        asked = Headers(scope=scope)
        if (
            not isinstance(answer, FileResponse)
            or answer.stat_result is None
            or answer.stat_result.st_size < SMALLEST
            or "range" in asked
            or "gzip" not in asked.get("accept-encoding", "")
        ):
            return answer
        body = await run_in_threadpool(_gzipped, str(answer.path), answer.headers["etag"])
        kept = {
            name: answer.headers[name]
            for name in ("etag", "last-modified", "cache-control", "vary")
        }
        return Response(
            body, headers={**kept, "Content-Encoding": "gzip"}, media_type=answer.media_type
        )


@lru_cache(maxsize=64)
def _gzipped(path: str, etag: str) -> bytes:
    """Compress a file; its etag tells one state of it from the next."""
    with open(path, "rb") as file:
        return gzip.compress(file.read(), 9)
