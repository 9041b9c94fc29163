"""A reverse proxy as there are many: it passes on what it gets, and says for whom."""

import os

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

UPSTREAM = httpx2.AsyncClient(base_url=os.environ.get("UPSTREAM", ""))


async def passed_on(request: Request) -> Response:
    assert request.client is not None
    before = request.headers.getlist("x-forwarded-for")
    headers = {"X-Forwarded-For": ", ".join([*before, request.client.host])}
    answer = await UPSTREAM.get(request.url.path, headers=headers)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])


app = Starlette(routes=[Route("/{path:path}", passed_on)])
