"""Files of a directory, as a web server gives them out: the built guide, and the chat's own page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Named here, because slim systems carry no list of types, and a wrong one is refused under `nosniff`.
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
    ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".ico": "image/x-icon", ".webp": "image/webp",
    ".woff2": "font/woff2", ".woff": "font/woff", ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8", ".ics": "text/calendar; charset=utf-8", ".xml": "application/xml",
    ".gz": "application/gzip", ".pdf": "application/pdf", ".webmanifest": "application/manifest+json",
    ".csv": "text/csv; charset=utf-8", ".yaml": "text/plain; charset=utf-8",
}

PLAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Ninety</title><link rel="stylesheet" href="/chat/page/chat.css"></head>
<body class="plain"><main><h1>{title}</h1>{body}<p><a href="/chat/">To the chat room</a></p></main></body></html>
"""

_SCRIPT = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<script>.*?)</script>", re.DOTALL | re.IGNORECASE)


def serving(root: Path, headers: Mapping[str, str]) -> Handler:
    """The files below `root`: a directory's index.html, 404.html where there is nothing."""

    base = root.resolve()

    async def serve(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        file = await asyncio.to_thread(found, root, path)
        if file is not None and file.name == "index.html" and not path.endswith(("/", "index.html")) and path:
            # The links of a page are relative to its directory. Built from what was found, not from what was asked.
            raise web.HTTPMovedPermanently("/" + quote(file.parent.relative_to(base).as_posix()) + "/")
        status = 200
        if file is None:
            file, status = await asyncio.to_thread(found, root, "404.html"), 404
        if file is None:
            raise web.HTTPNotFound(text="There is nothing at this address.")
        kind = TYPES.get(file.suffix.lower(), "application/octet-stream")
        is_page = kind.startswith("text/html")
        page = await asyncio.to_thread(file.read_bytes) if is_page else b""
        policy = headers["Content-Security-Policy"].replace("{scripts}", "".join(digests(page)))
        told = {**headers, "Content-Type": kind, "Content-Security-Policy": policy}
        return web.Response(body=page, status=status, headers=told) if is_page else web.FileResponse(file, headers=told)

    return serve


def found(root: Path, path: str) -> Path | None:
    """The file below `root` for a path of the address; None when there is none, or it leads elsewhere."""
    try:
        root, file = root.resolve(), (root / path.lstrip("/")).resolve()
        if file.is_dir():
            file /= "index.html"
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or holds what no name may
        return None


def digests(page: bytes) -> list[str]:
    """Sources for a content security policy, one for each script that is written into the page."""
    inline = {match["script"] for match in _SCRIPT.finditer(page)
              if b"src=" not in match["attributes"] and b"json" not in match["attributes"]}
    return [f" 'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in sorted(inline)]


async def unbuilt(request: web.Request) -> web.StreamResponse:
    if request.match_info["path"]:
        raise web.HTTPNotFound(text="There is nothing at this address.")
    body = ("<p>The guide is not built yet. In the project's directory, run</p><pre><code>mkdocs build</code></pre>"
            "<p>and start again. The chat room works without it.</p>")
    return web.Response(text=PLAIN.format(title="No guide here yet", body=body), content_type="text/html")
