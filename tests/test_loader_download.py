"""The download, against a server that fails in the ways that servers do."""

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loader import download
from loader.battery import LoaderError
from tests.conftest import load


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("a.mat", bytes(range(256)) * 4000)
    return buffer.getvalue()


CONTENT = _archive()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A local HTTP server: what it was asked, and how it fails."""

    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # one for each request, until they run out

    def archive(self, *paths: str, sha256: str | None = None) -> download.Archive:
        return download.Archive("it.zip", tuple(f"{self.url}{path}" for path in paths), sha256)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(download, "TIMEOUT_S", 1.0)
    it = Site()
    released = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            it.asked.append((self.path, wanted))
            failure = it.failures.pop(0) if it.failures else ""
            if self.path == "/missing.zip":
                self.send_error(404)
                return
            if failure == "busy":
                self.send_error(503)
                return
            if failure == "silent":
                released.wait(5)
                return
            content = CONTENT
            if self.path == "/wrong.zip":
                content = CONTENT.replace(b"\x07\x08\x09", b"\x09\x08\x07")
            if self.path == "/page.zip":
                content = b"<html>sign in</html>"
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if self.path == "/whole.zip":  # a server that knows no ranges
                start = 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = (start + len(content)) // 2 if failure == "break" else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # closing waits for them
        it.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield it
        released.set()
        server.shutdown()
        thread.join()


def test_what_breaks_off_is_continued(site: Site, tmp_path: Path) -> None:
    site.failures = ["break", "busy", "break", "silent"]
    path = download.fetch(site.archive("/it.zip", sha256=DIGEST), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert (path.parent / "it.zip.sha256").read_text() == f"{DIGEST}  it.zip\n"
    assert sorted(it.name for it in path.parent.iterdir()) == ["it.zip", "it.zip.sha256"]
    half = len(CONTENT) // 2
    assert [wanted for _, wanted in site.asked[:3]] == [None, f"bytes={half}-", f"bytes={half}-"]
    assert len(site.asked) == 5


def test_what_an_earlier_run_left_is_continued(site: Site, tmp_path: Path) -> None:
    (tmp_path / "it.zip.part").write_bytes(CONTENT[:1000])
    assert download.fetch(site.archive("/it.zip"), tmp_path).read_bytes() == CONTENT
    assert site.asked == [("/it.zip", "bytes=1000-")]
    (tmp_path / "it.zip").rename(tmp_path / "it.zip.part")  # killed just before the renaming
    assert download.fetch(site.archive("/it.zip"), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    site.failures = ["break"]
    assert download.fetch(site.archive("/whole.zip"), tmp_path).read_bytes() == CONTENT


def test_what_is_there_and_intact_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    path = download.fetch(site.archive("/it.zip"), tmp_path)
    download.fetch(site.archive("/it.zip"), tmp_path)
    assert len(site.asked) == 1
    path.write_bytes(CONTENT[:-1])
    assert download.fetch(site.archive("/it.zip"), tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == 2


@pytest.mark.parametrize("path", ["/missing.zip", "/wrong.zip", "/page.zip"])
def test_the_next_mirror_helps(site: Site, tmp_path: Path, path: str) -> None:
    found = download.fetch(site.archive(path, "/it.zip"), tmp_path)
    assert found.read_bytes() == CONTENT
    assert [asked for asked, _ in site.asked] == [path, "/it.zip"]


def test_nothing_is_put_in_place_when_every_mirror_fails(site: Site, tmp_path: Path) -> None:
    with pytest.raises(LoaderError) as raised:
        download.fetch(site.archive("/missing.zip", "/wrong.zip"), tmp_path)
    assert "/missing.zip: 404" in str(raised.value)
    assert "/wrong.zip: wrong content: " in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LoaderError, match=f"SHA-256 is {DIGEST} instead of 0000"):
        download.fetch(site.archive("/it.zip", sha256="0000"), tmp_path)


def test_a_mirror_that_never_answers_is_given_up(site: Site, tmp_path: Path) -> None:
    site.failures = ["busy"] * download.ATTEMPTS
    with pytest.raises(LoaderError, match="503"):
        download.fetch(site.archive("/it.zip"), tmp_path)
    assert len(site.asked) == download.ATTEMPTS


def test_without_a_network_it_ends_at_once(tmp_path: Path) -> None:
    nowhere = download.Archive("it.zip", ("http://name.invalid/it.zip",))
    with pytest.raises(LoaderError, match=r"name\.invalid/it\.zip: no address found for it"):
        download.fetch(nowhere, tmp_path)


def test_the_command_says_what_failed_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = load("download", "randomized", "--to", str(tmp_path / "file"))
    assert failed.returncode == 1
    assert failed.stderr == f"{tmp_path / 'file'}: File exists\n"
    assert "--to DIR" in load("download", "--help").stdout
