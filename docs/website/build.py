"""Make a site of the documentation: `make docs`. Broken links and anchors stop it.

Zensical (the successor of Material for MkDocs) makes it, from a copy of the pages in which the same example in several
languages has become tabs. The site has the OpenAPI document of this very version and a page that shows it, loads
nothing from elsewhere, and can be read from a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
_REDOC = _PROJECT / "src" / "entrypoints" / "web" / "static" / "vendor" / "redoc"

_FENCE = r"```(?:bash|python|javascript)\n(?:(?!```).*\n)*```\n"
_GROUP = re.compile(rf"^{_FENCE}(?:\n{_FENCE})+", re.MULTILINE)
_NAMES = {"bash": "Shell", "python": "Python", "javascript": "JavaScript"}
_REMOTE_SHIM = "https://unpkg.com/iframe-worker/shim"
_REMOTE_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"

_OPENAPI_PAGE = """# OpenAPI

The [API in full](reference.html) is made of the OpenAPI 3.1 document of this version, [openapi.json](openapi.json).
A running server has both at `/redoc` and `/openapi.json`, and at `/docs` a page where every operation can be tried.
"""
_REFERENCE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Parley: the API</title>
  <link rel="icon" href="data:,">
  <style>body { margin: 0 }</style>
</head>
<body>
  <div id="reference"></div>
  <script src="vendor/redoc/redoc.standalone.js"></script>
  <script>Redoc.init(DOCUMENT, {}, document.getElementById("reference"));</script>
</body>
</html>
"""


def main() -> None:
    """Build into the folder that is named, or into `site`."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else _PROJECT / "site").resolve()
    with tempfile.TemporaryDirectory() as folder:
        _stage(Path(folder))
        built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder)
        if built.returncode != 0:
            sys.exit("The site is not built: mend what is named above.")
        site = Path(folder) / "site"
        _bring_along(site)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(site, target)
    print(f"The documentation is in {target}, beginning with index.html.")


def tabs(markdown: str) -> str:
    """The same in several languages, one after the other, as tabs."""
    return _GROUP.sub(lambda group: "".join(map(_tab, re.findall(_FENCE, group[0]))), markdown)


def _tab(fence: str) -> str:
    language = fence[3:].partition("\n")[0]
    name = "cURL" if language == "bash" and "curl" in fence else _NAMES[language]
    inside = re.sub("^(?=.)", "    ", fence, flags=re.MULTILINE)
    return f'=== "{name}"\n\n{inside}\n'


def _stage(folder: Path) -> None:
    pages = folder / "pages"
    for path in sorted((_PROJECT / "docs").rglob("*.md")):
        page = pages / path.relative_to(_PROJECT / "docs")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(tabs(path.read_text()))
    document = json.loads(_openapi())
    shown = json.dumps(document).replace("<", "\\u003c")  # Nothing in a script may end it.
    (pages / "openapi.json").write_text(json.dumps(document, indent=2))
    (pages / "reference.html").write_text(_REFERENCE.replace("DOCUMENT", shown))
    (pages / "openapi.md").write_text(_OPENAPI_PAGE)
    decisions = ", ".join(f'"adr/{path.name}"' for path in sorted((pages / "adr").glob("*.md")))
    (folder / "zensical.toml").write_text((_HERE / "zensical.toml").read_text().replace('"adr/*"', decisions))


def _bring_along(site: Path) -> None:
    """What pages load and Zensical does not bring: the viewer, and what lets the search work from a folder."""
    shutil.copytree(_REDOC, site / "vendor" / "redoc")
    viewer = site / "vendor" / "redoc" / "redoc.standalone.js"
    viewer.write_text(viewer.read_text().replace(_REMOTE_LOGO, "data:,"))
    shutil.copytree(_HERE / "vendor" / "iframe-worker", site / "vendor" / "iframe-worker")
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        page.write_text(page.read_text().replace(_REMOTE_SHIM, f"{up}vendor/iframe-worker/shim.js"))


def _openapi() -> str:
    """The document as a server tells it that has just been installed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("PARLEY_", "OPENAI_"))}
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("parley")), "serve", "--migrate"],
            env=known | {"PARLEY_DATA_DIR": folder, "PARLEY_PORT": str(port), "PARLEY_LOG_LEVEL": "WARNING"},
            stdout=subprocess.DEVNULL,
        )
        try:
            return _fetched(f"http://127.0.0.1:{port}/openapi.json", server)
        finally:
            server.terminate()
            server.wait(30)


def _fetched(url: str, server: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 # http, on this machine
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)  # It is starting.
    sys.exit("Parley does not start, so its OpenAPI document cannot be had.")


if __name__ == "__main__":
    main()
