"""The page's files: compressed once, and kept by browsers as long as they are what they were."""

import gzip
from functools import lru_cache
from pathlib import Path

from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Scope

FOR_EVER = "public, max-age=31536000, immutable"


class Static(StaticFiles):
    """Files, validated each time; with `?v=` in the address, which changes as they do, for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        asked = Headers(scope=scope)
        is_compressed = "gzip" in asked.get("accept-encoding", "") and "range" not in asked
        if is_compressed and isinstance(response, FileResponse):
            content = await run_in_threadpool(
                _compressed, Path(response.path), response.headers["last-modified"]
            )
            del response.headers["content-length"]
            headers = {**response.headers, "Content-Encoding": "gzip"}
            response = Response(content, headers=headers)
        is_versioned = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = FOR_EVER if is_versioned else "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["ETag"] = f"W/{response.headers['etag']}"  # the same, compressed or not
        return response


@lru_cache
def _compressed(path: Path, _changed: str) -> bytes:
    return gzip.compress(path.read_bytes())
