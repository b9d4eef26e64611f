"""A check-in over HTTP, to the desk or to the bare transaction, behind an equally bare Starlette route.

    python -m tests.bench.starlette_app ours|bare DATABASE-URL PORT
"""

from __future__ import annotations

import gc
import sys
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bot.store.database import Database
from tests.bench import bare
from tests.bench.cohort import CheckIn, desk_of


def served(kind: str, url: str) -> Starlette:
    if kind == "ours":
        desk = desk_of(Database(url))

        async def check_in(request: Request) -> JSONResponse:
            answer = await CheckIn(**await request.json()).at_desk(desk)
            return JSONResponse({"cohort": answer.cohort})
    else:
        store = bare.opened(url)

        async def check_in(request: Request) -> JSONResponse:
            one = CheckIn(**await request.json())
            place = await store.transact(partial(bare.check_in, who=one.who, request=one.request, body=one.body,
                                                 points=one.points))
            return JSONResponse({"place": place})

    return Starlette(routes=[Route("/", check_in, methods=["POST"])])


if __name__ == "__main__":
    application = served(*sys.argv[1:3])
    # As `ninety run` does; of both, so that neither pauses for the garbage of its imports.
    gc.collect()
    gc.freeze()
    uvicorn.run(application, port=int(sys.argv[3]), log_level="error", access_log=False)
