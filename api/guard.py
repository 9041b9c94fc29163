"""Who may ask, what, and how much: the key, the parameters, the limits of a request's body."""

import asyncio
import hmac
import ipaddress
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.dependencies.models import Dependant
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import FieldError, ProblemError, refusal

MEBIBYTE = 1024 * 1024
BODY_LIMIT = MEBIBYTE
BODY_LIMITS = {"/predict/batch": 32 * MEBIBYTE, "/predict/file": 256 * MEBIBYTE}  # under /v1, too
BODY_TIMEOUT_S = 20
FORWARDED = (b"forwarded", b"via", b"x-real-ip", b"x-forwarded-")  # how such headers begin

KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "Needed where the service was given API_KEY",
}


async def allowed(request: Request) -> None:
    """End the request with 401 or 403 unless it may be answered, with 422 as `only_known`."""
    wanted = os.environ.get("API_KEY")
    if wanted:
        # a header is bytes, which the framework has read as Latin-1
        key = request.headers.get("X-API-Key", "")
        if not hmac.compare_digest(key.encode("latin-1"), wanted.encode()):
            raise ProblemError(401, "X-API-Key is missing or wrong")
    elif not (_is_local(request) or os.environ.get("API_OPEN")):
        raise ProblemError(
            403,
            "on a public address or name, or behind a proxy, the service needs a key: set API_KEY, "
            "or API_OPEN=1",
        )
    await only_known(request)


def _is_local(request: Request) -> bool:
    """Tell whether this machine itself asks, by its own address.

    What a proxy passes on is not local, wherever the proxy says that it comes from: one that lets
    its callers write X-Forwarded-For would make everybody local. Nor is what a page from elsewhere
    asks in a browser here, of a name that its owner has pointed at this machine.
    """
    if any(name.startswith(FORWARDED) for name, _ in request.scope["headers"]):
        return False
    ends = [_address((request.scope.get(end) or [""])[0]) for end in ("client", "server")]
    if not all(end is None or end.is_loopback for end in ends):
        return False
    return ends[1] is None or _names_here(request.headers.get("host", ""))


@lru_cache
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:  # a Unix socket's path, or nothing
        return None


@lru_cache
def _names_here(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    address = _address(name)
    return address.is_loopback if address else f".{name}".endswith(".localhost")


async def only_known(request: Request) -> None:
    """End the request with 422 where it has a parameter that its route does not take."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    declared = (route.openapi_extra or {}).get("parameters", ())
    known = sorted({*_parameters(route.dependant), *(it["name"] for it in declared)})
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes none"
        detail = f"no parameter of {route.path} is called so: it {takes}"
        raise refusal([FieldError(field=name, detail=detail) for name in unknown])


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (it.alias for it in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def described(schema_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask for the key in the OpenAPI schema where the service does."""
    schema = schema_of()
    if os.environ.get("API_KEY"):
        schema["components"]["securitySchemes"] = {"Key": KEY}
        for path, operations in schema["paths"].items():
            for operation in operations.values() if path.startswith("/v1/") else ():
                operation["security"] = [{"Key": []}]
    return schema


class BodyLimit:
    """Refuses a body that is too large (413) or too slow (408) before it is held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = BODY_LIMITS.get(scope["path"].removeprefix("/v1"), BODY_LIMIT)
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
