"""Who may talk to the local chat: pages of its own, under the name of this machine, and nobody else.

It has no passwords, so another site open in the same browser must not be able to press its buttons, and a name on the
internet that points here (DNS rebinding) must not be able to read it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:]+)(?::([0-9]{1,5}))?")

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CHAT = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
API = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
# The guide's generator writes small scripts into its pages; `site` adds the digest of each. Its styles use attributes.
GUIDE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy":
        "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
}


def guard(port: int | None) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check(request, port)
        response = await handler(request)
        if not response.prepared:  # a stream has sent its headers
            response.headers.update({name: value for name, value in ALWAYS.items() if name not in response.headers})
            if request.path.startswith("/chat/api/"):
                response.headers.update({name: value for name, value in API.items() if name not in response.headers})
        return response

    return middleware


def _check(request: web.Request, port: int | None) -> None:
    host = request.headers.get("Host", "")
    if port is None and request.transport is not None:
        port = request.transport.get_extra_info("sockname")[1]
    match = _HOST.fullmatch(host)
    if match is None or match[1].lower() not in _NAMES or int(match[2] or 80) != port:
        raise web.HTTPMisdirectedRequest(text=f"This chat is for this machine alone. Open http://localhost:{port}/chat/")
    if request.method in ("GET", "HEAD"):
        return
    # A browser says where a request comes from; what does not say so is not one of our pages.
    if request.headers.get("Origin") != f"http://{host}" or request.headers.get("Sec-Fetch-Site", "same-origin") != \
            "same-origin":
        raise web.HTTPForbidden(text="This did not come from the chat's own page, so nothing was done. "
                                     f"Open http://localhost:{port}/chat/ and try again there.")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="The chat takes JSON only.")
