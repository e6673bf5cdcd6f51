"""A span for every request but those that ask for health, as plain ASGI."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aistack.api.endpoint import ROUTE
from aistack.kit import logs, tracing

_CONTEXT = (b"traceparent", b"tracestate")
_SERVER_ERROR = 500


class Trace:
    """Goes on with the trace of whoever asks, by W3C's headers, or begins one."""

    def __init__(self, app: ASGIApp, passed_over: frozenset[str]) -> None:
        self.app = app
        self._passed_over = passed_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] in self._passed_over:
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"].isalpha() else "_OTHER"
        asked = {"http.request.method": method, "aistack.request_id": logs.request_id.get() or ""}
        with tracing.serve(method, _carrier(scope), asked) as span:
            status = 0

            async def note(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            await self.app(scope, receive, note)
            if (route := scope.get(ROUTE)) is not None:
                span.rename(f"{method} {route}")
                span.put({"http.route": route})
            span.put({"http.response.status_code": status})
            if status >= _SERVER_ERROR:
                span.fail(str(status))


def _carrier(scope: Scope) -> dict[str, str]:
    return {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _CONTEXT
    }
