"""The web application's files: hashed ones for ever, its first page never kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from litestar import Response

from orderkeep.http.refusals import PageNotFound

SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self';"
        " worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_MISSING = (
    "orderkeep is running, but its web application has not been built.\n"
    "Run `make web` (or `make run`) in the checkout, then open this page again.\n"
)
_API = ("/office/", "/v1/", "/healthz", "/readyz", "/metrics", "/openapi", "/problems/")
_COMPRESSED = (("br", ".br"), ("gzip", ".gz"))


@dataclass(frozen=True, slots=True)
class Asset:
    """A built file in memory, compressed too where the build left such a twin."""

    body: bytes
    media_type: str
    forever: bool
    twins: Mapping[str, bytes]


class WebApp:
    """Serves what the build left in a folder; a page's address is the browser's business.

    The folder is read once: a new build is served after a restart, never half of it before.
    """

    def __init__(self, folder: Path | None) -> None:
        self._assets = _read(folder) if folder and folder.is_dir() else {}

    def answer(self, path: str, accept: str, encodings: str) -> Response[bytes]:
        """The file at a path; for any other path that a person may open, the first page.

        Raises:
            PageNotFound: neither.
        """
        asset = self._assets.get(path)
        if asset is not None:
            return _response(asset, encodings)
        if path.startswith(_API) or not _wants_a_page(accept) or _looks_like_a_file(path):
            raise PageNotFound("There is nothing at this address.")
        first = self._assets.get("/index.html")
        if first is None:
            return Response(
                _MISSING.encode(), status_code=503, media_type="text/plain; charset=utf-8"
            )
        return _response(first, encodings)


def _read(folder: Path) -> dict[str, Asset]:
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    twins = {suffix for _, suffix in _COMPRESSED}
    return {
        f"/{file.relative_to(folder).as_posix()}": _asset(file, folder)
        for file in files
        if file.suffix not in twins
    }


def _asset(file: Path, folder: Path) -> Asset:
    media_type = guess_type(file.name)[0] or "application/octet-stream"
    text = media_type.startswith("text/") or media_type.endswith(("javascript", "json", "svg+xml"))
    compressed = {
        coding: twin.read_bytes()
        for coding, suffix in _COMPRESSED
        if (twin := file.with_name(file.name + suffix)).is_file()
    }
    return Asset(
        body=file.read_bytes(),
        media_type=f"{media_type}; charset=utf-8" if text else media_type,
        # Vite puts a hash of the content into the name of everything below assets.
        forever=file.relative_to(folder).parts[0] == "assets",
        twins=compressed,
    )


def _response(asset: Asset, encodings: str) -> Response[bytes]:
    accepted = {one.partition(";")[0].strip() for one in encodings.split(",")}
    headers = {
        "cache-control": _FOREVER if asset.forever else _ASK_AGAIN,
        "vary": "Accept-Encoding",
    }
    for coding, body in asset.twins.items():
        if coding in accepted:
            headers["content-encoding"] = coding
            return Response(body, media_type=asset.media_type, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


def _wants_a_page(accept: str) -> bool:
    return "text/html" in accept or "*/*" in accept or not accept


def _looks_like_a_file(path: str) -> bool:
    return "." in path.rpartition("/")[2]
