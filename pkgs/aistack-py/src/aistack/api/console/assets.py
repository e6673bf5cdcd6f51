"""The stylesheet and the script: small files, named by what is in them."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aistack.api.endpoint import ROUTE
from aistack.errors import NotFoundError

_FOLDER = "/console/static/"
_NAMES = {"console.css": "text/css", "console.js": "text/javascript", "mark.svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file as it is sent."""

    url: str
    content: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Every file by its plain name."""
    found = {}
    for name, media_type in _NAMES.items():
        content = files("aistack.api.console").joinpath("static", name).read_bytes()
        stem, dot, ending = name.partition(".")
        digest = hashlib.sha256(content).hexdigest()[:16]
        url = f"{_FOLDER}{stem}.{digest}{dot}{ending}"
        found[name] = Asset(url, content, media_type)
    return found


async def _serve(request: Request) -> Response:
    """A file; by the name of another version, as an instance before or after this one gives it."""
    request.scope[ROUTE] = _FOLDER + "{file}"
    stem, _, rest = request.path_params["file"].partition(".")
    asset = assets().get(f"{stem}.{rest.rpartition('.')[2]}")
    if asset is None:
        raise NotFoundError("there is no such file")
    own = asset.url == request.url.path
    headers = {"Cache-Control": _FOR_EVER if own else "no-store"}
    return Response(asset.content, headers=headers, media_type=asset.media_type)


ROUTE_OF_ASSETS = Route(_FOLDER + "{file}", _serve, methods=["GET"])
