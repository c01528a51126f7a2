"""The page that shows runs live, as files for a browser, without anything from elsewhere."""

from importlib import resources

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""What a browser is told with each file."""

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES = {
    f"/page/{file}": file
    for file in (
        "charts.js",
        "cut.js",
        "heat_map.js",
        "history.js",
        "icon.svg",
        "names.js",
        "numbers.js",
        "page.css",
        "page.js",
        "palette.js",
        "runs.js",
        "serving.js",
        "uplot/uPlot.esm.js",
        "uplot/uPlot.min.css",
        "weights.js",
    )
} | {"/": "index.html"}


def page_file(path: str) -> tuple[bytes, str] | None:
    """What the page has at a path, and its content type; None if it has nothing there."""
    if (file := _FILES.get(path)) is None:
        return None
    content = resources.files(__name__).joinpath(*file.split("/")).read_bytes()
    return content, _TYPES[file.rpartition(".")[2]]
