"""Who may ask, and how much: the key, and the limits of a request's body."""

import asyncio
import hmac
import ipaddress
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from fastapi import HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemError

MEBIBYTE = 1024 * 1024
BODY_LIMIT = MEBIBYTE
BODY_LIMITS = {"/predict/batch": 32 * MEBIBYTE, "/predict/file": 256 * MEBIBYTE}
BODY_TIMEOUT_S = 20

key_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="Needed where the service was given API_KEY"
)


async def allowed(request: Request, key: Annotated[str | None, Security(key_header)]) -> None:
    """End the request with 401 or 403 unless it may be answered."""
    wanted = os.environ.get("API_KEY")
    if wanted:
        # a header is bytes, which the framework has read as Latin-1
        if not hmac.compare_digest((key or "").encode("latin-1"), wanted.encode()):
            raise ProblemError(401, "X-API-Key is missing or wrong")
    elif not (os.environ.get("API_OPEN") or _is_local(_host(request))):
        raise ProblemError(
            403, "on a public address the service needs a key: set API_KEY, or API_OPEN=1"
        )


def _host(request: Request) -> str:
    """Return the address of this machine that the request came to."""
    server = request.scope.get("server")
    return str(server[0]) if server else ""


@lru_cache
def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a Unix socket's path
        return True


def described(schema_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Leave the key out of the OpenAPI schema where none is asked for."""
    schema = schema_of()
    if not os.environ.get("API_KEY"):
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation.pop("security", None)
    return schema


class BodyLimit:
    """Refuses a body that is too large (413) or too slow (408) before it is held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = BODY_LIMITS.get(scope["path"], BODY_LIMIT)
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        left = limit
        is_complete = False

        async def limited() -> Message:
            nonlocal left, is_complete
            if is_complete:
                return await receive()  # nothing but the client's leaving can come now
            too_large = HTTPException(413, f"the body is larger than {limit // MEBIBYTE} MiB")
            if int(announced) > limit:
                raise too_large
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body did not arrive in time") from None
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, limited, send)
