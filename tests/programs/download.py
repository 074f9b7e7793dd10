"""Usage: download.py SCRIPT
What an earlier download left behind never stands in the way of the next. The sums of the published files are fixed, so
that none of these downloads ends well; what it fetched shows in the sum that it found."""

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading

from trainer import check, main

SCRIPT = os.path.abspath(sys.argv[1])
CONTENT = b"not CIFAR-10, but what the server has\n" * 1000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, with or without ranges; notes where each download starts."""

    starts = []

    def __init__(self, ranges, *arguments):
        self.ranges = ranges
        super().__init__(*arguments)

    def do_GET(self):
        first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0]) if self.ranges else 0
        partial = self.ranges and "Range" in self.headers
        self.send_response(416 if first >= len(CONTENT) else 206 if partial else 200)
        if partial:
            self.send_header(
                "Content-Range",
                (
                    f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
                    if first < len(CONTENT)
                    else f"bytes */{len(CONTENT)}"
                ),
            )
        self.send_header("Content-Length", str(max(len(CONTENT) - first, 0)))
        self.end_headers()
        if self.command == "GET":
            self.starts.append(first)
            self.wfile.write(CONTENT[first:])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def download(folder, part, url):
    """Leaves `part` of an earlier download in a folder and continues it, which must fail. Returns stderr and what is
    left of it."""
    path = folder / "cifar-10-binary.tar.gz.part"
    path.write_bytes(part)
    done = subprocess.run(
        [SCRIPT, "cifar10", folder],
        env={**os.environ, "LPW_DATA_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    check(done.returncode == 1, f"exits with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stderr, path.read_bytes() if path.exists() else None


def served(ranges, folder, part):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, ranges)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = download(folder, part, f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz")
        server.shutdown()
    return result


def continued(folder):
    """What follows is fetched; then, as the sum is wrong after all, everything once more."""
    said, left = served(True, folder, CONTENT[:5000])
    check(Server.starts == [5000, 0] and "from the start" in said, f"{Server.starts}: {said}")
    check(f"found {hashlib.md5(CONTENT).hexdigest()}" in said and left is None, said)


def begun_again(folder):
    """A server without ranges, a file that is shorter than what is there, and one that is whole and damaged."""
    for ranges, part in [
        (False, CONTENT[:5000]),
        (True, CONTENT + b"more"),
        (False, CONTENT[:-1] + b"?"),
        (True, CONTENT[:-1] + b"?"),
    ]:
        said, left = served(ranges, folder, part)
        check(f"found {hashlib.md5(CONTENT).hexdigest()}" in said, f"ranges {ranges}: {said}")
        check("from the start" in said and left is None, f"ranges {ranges}: {said}")


def kept_without_network(folder):
    said, left = download(folder, CONTENT[:5000], "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    check("is continued by the next call" in said and left == CONTENT[:5000], said)


if shutil.which("curl") is None and shutil.which("wget") is None:
    print("SKIPPED: neither curl nor wget is installed")
    sys.exit(77)
main(continued, begun_again, kept_without_network)
