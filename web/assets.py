"""Serves static/ under an address that names its content, so that browsers may keep every file for ever."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aiohttp import web as http

from server.base.errors import NotFound

STATIC = Path(__file__).parent.parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
_KINDS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Assets:
    """One version for the whole tree: the ES modules import each other by relative path and stay consistent."""

    root: Path
    version: str

    @classmethod
    def read(cls, root: Path = STATIC) -> Assets:
        """Hash every file's name and content (a few hundred kilobytes, once per process)."""
        digest = hashlib.sha256()
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return cls(root.resolve(), digest.hexdigest()[:12])

    def url(self, path: str) -> str:
        """The address of ``css/base.css``. Raises FileNotFoundError for a file that is not there: a template's typo."""
        if not (self.root / path).is_file():
            raise FileNotFoundError(f"static/{path}")
        return f"/static/{self.version}/{path}"

    async def worker(self, _request: http.Request) -> http.StreamResponse:
        """``GET /sw.js``: where a service worker lies is what it may see. Browsers ask again at each visit."""
        headers = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}
        return http.FileResponse(self.root / "js" / "sw.js", headers=headers)

    async def serve(self, request: http.Request) -> http.StreamResponse:
        """``GET /static/{version}/{path}``; a version of yesterday gets today's file, but may not keep it."""
        parts = PurePosixPath(request.match_info["path"]).parts
        path = self.root.joinpath(*parts)
        if (
            not parts
            or any(part in {"..", "/"} or part.startswith(".") for part in parts)
            or not path.is_file()
        ):
            raise NotFound("no_such_asset", "There is no such file.")
        kind = _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        current = request.match_info["version"] == self.version
        return http.FileResponse(
            path,
            headers={
                "Content-Type": f"{kind}; charset=utf-8" if kind.startswith(("text/", "image/svg")) else kind,
                "Cache-Control": FOR_EVER if current else "no-cache",
                "X-Content-Type-Options": "nosniff",
            },
        )
