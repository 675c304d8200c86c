"""A page opened in headless Chromium, and what a script found there."""

import html
import json
import re
import shutil
import subprocess

from tests.waiting import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
)
# Runs in the page after everything has loaded, and leaves what it found in the document's title.
_PROBE = """<script>
const complaints = [];
addEventListener("error", (event) => complaints.push(event.message));
addEventListener("load", () => {{ document.title = JSON.stringify({{ ...({probe})(), complaints }}); }});
</script>"""


def opened(page, folder, probe, *, address="", size=(1280, 900)):
    """Return what a JavaScript function of no arguments returns in a page, and the errors that it met as `complaints`.

    Args:
        page: the page's text.
        folder: for the page with the probe, and Chromium's profile.
        probe: source of the function.
        address: what follows the page's address, such as "#kernel=keys".
        size: width and height of the window, in pixels.
    """
    path = folder / "probed.html"
    path.write_text(page.replace("</head>", _PROBE.format(probe=probe) + "</head>"), encoding="utf-8")
    window = f"--window-size={size[0]},{size[1]}"
    command = [CHROMIUM, *FLAGS, window, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri() + address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    return json.loads(html.unescape(title.group(1)))
