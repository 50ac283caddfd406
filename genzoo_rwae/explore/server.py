"""The page handed to a browser of this machine, and to nobody else."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from genzoo_rwae.errors import SpecError
from genzoo_rwae.explore.page import import_gradio, look

__all__ = ["address_of", "listen", "own_folder", "server"]

_HERE = "127.0.0.1"
_NAMES = [_HERE, "localhost"]
# Gradio's scripts make functions of its templates; whatever slips in beside them loads nothing
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; frame-src 'none'; object-src 'none'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# of all that Gradio would answer (uploads, proxies, an editor of the page's own code) the page
# itself asks for this
_GRADIO = "/gradio_api"
_ASKED = {
    "/", "/config", "/theme.css", "/favicon.ico",
    f"{_GRADIO}/queue/join", f"{_GRADIO}/queue/data", f"{_GRADIO}/startup-events",
}  # fmt: skip
_ASKED_BELOW = ("/assets/", "/static/", f"{_GRADIO}/file=/", f"{_GRADIO}/heartbeat/")

_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def listen(port: int) -> socket.socket:
    """A socket of this machine's own address, that no other machine reaches.

    Args:
        port: which; 0 takes one that is free.

    Raises:
        SpecError: the port is in use, or not ours to take.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HERE, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SpecError(
            f"port {port} cannot be had: {error.strerror}; give --port another, or 0 for any that "
            "is free"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """What one types into the browser."""
    return f"http://{_HERE}:{listener.getsockname()[1]}"


@contextmanager
def own_folder() -> Iterator[None]:
    """Where Gradio keeps the pictures that one chooses from: nobody else's, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="genzoo-explore-") as folder:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = folder  # read whenever a picture is kept or served
        try:
            yield
        finally:
            os.environ.pop("GRADIO_TEMP_DIR")
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


def server(blocks: Any) -> Any:
    """Uvicorn's `Server` for the page, to be run with a socket that listens already."""
    import uvicorn

    # an open page keeps a connection open for good: Ctrl-C does not wait for it, nor say so
    config = uvicorn.Config(_application(blocks), log_level="critical", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def _application(blocks: Any) -> Any:
    """The page as an ASGI application that answers to this machine's names alone.

    A site elsewhere may have a name of its own point to this machine (DNS rebinding): what its
    scripts ask for then is asked in that name.
    """
    gradio = import_gradio()
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Guarded)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_NAMES)
    return gradio.mount_gradio_app(
        app, blocks, path="/", run_history=False, ssr_mode=False, pwa=False, mcp_server=False,
        enable_monitoring=False, show_error=False, **look(),
    )  # fmt: skip


class _Guarded:
    """Lets through what the page asks for, and adds the content security policy to every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: _Send) -> None:
        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and _is_ours(scope["path"]):
            await self._app(scope, receive, send_guarded)
        elif scope["type"] == "http":
            await send_guarded({"type": "http.response.start", "status": 404, "headers": []})
            await send_guarded({"type": "http.response.body", "body": b""})


def _is_ours(path: str) -> bool:
    return path in _ASKED or path.startswith(_ASKED_BELOW)
