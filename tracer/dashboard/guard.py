"""What may talk to the dashboard: pages that it served itself, under a name of this machine.

Streamlit asks for the host only where a browser opens its stream, and takes any page of localhost
for its own. A page of another program on this machine, or one whose name was bound anew to
127.0.0.1, could read files and start runs. Here every request passes one rule, and no page of ours
may be framed by another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCRIPT: Final = Path(__file__).parent / "start" / "page.py"
"""What Streamlit runs behind the guard."""
HEADERS: Final = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer."""


class SameOrigin:
    """Answers requests to an allowed host, and from no page but the dashboard's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3.0; what is refused gets status 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = refusal(Headers(scope=scope), st.get_option("server.allowedHosts"))
        answer = self._app if reason is None else PlainTextResponse(reason, status_code=403)

        async def sent(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await answer(scope, receive, sent)


def refusal(headers: Headers, hosts: list[str]) -> str | None:
    """Why a request is not answered, as a sentence; None where it is.

    A program without a browser sends no `Origin`; a browser always does where it opens a stream or
    changes anything, and writes there whose page asked.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    name, colon, port = host.partition(":")
    if name.lower() not in hosts or (colon and not port.isdecimal()):
        return f"Not a name of this dashboard. It answers to {' and '.join(hosts)}."
    if origin not in (None, f"http://{host}", f"https://{host}"):
        return "Only the dashboard's own pages may use it."
    return None


GUARD: Final = (Middleware(SameOrigin),)
