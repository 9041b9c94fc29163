"""What holds for every request and answer: HEAD, names with a slash, headers for safety."""

from urllib.parse import unquote

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.leave import is_leaving

# Stands for a slash within a name while routes are looked for. Unicode has it for uses like this.
SLASH = "\ufdd0"
SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
_SAFETY = [(name.lower().encode(), value.encode()) for name, value in SAFETY.items()]
_POLICY = b"content-security-policy"


class Edge:
    """Answers HEAD as GET less the body, keeps `%2F` within one step, adds headers for safety."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        raw = scope.get("raw_path") or b""
        if b"%2F" in raw or b"%2f" in raw:
            steps = raw.decode("ascii").split("/")
            scope["path"] = "/".join(unquote(step).replace("/", SLASH) for step in steps)
        if method == "HEAD":
            scope["method"] = "GET"

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["method"] = method  # the server leaves out the body
                headers = message["headers"] = list(message.get("headers", ()))
                has_policy = any(name.lower() == _POLICY for name, _ in headers)
                headers += [it for it in _SAFETY if not (has_policy and it[0] == _POLICY)]
                if is_leaving():
                    headers.append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, safe)
        finally:  # for the log
            scope["method"], scope["path"] = method, path


class Compression(GZipMiddleware):
    """Compresses answers that are large, and not so already."""

    def __init__(self, app: ASGIApp, *packed: str) -> None:
        """Leave alone the media types that are packed."""
        super().__init__(
            app,
            minimum_size=1000,
            compresslevel=5,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *packed),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # one forecast is never large: it need not pay for the question
        is_small = scope["type"] == "http" and scope["path"].endswith("/predict")
        await (self.app if is_small else super().__call__)(scope, receive, send)
