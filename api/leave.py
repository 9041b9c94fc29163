"""How the service stops: for a moment each answer closes its connection, then all are closed.

The server closes at once those that idle, and with them what was sent and not yet read.
"""

import signal
import threading
from types import FrameType

MOMENT_S = 0.5

_leaving = threading.Event()


def prepare() -> None:
    """Put off the server's own answer to SIGTERM; do nothing where there is no server."""
    if threading.current_thread() is not threading.main_thread():
        return
    stop = signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: FrameType | None) -> None:
        assert callable(stop)
        _leaving.set()
        threading.Timer(MOMENT_S, stop, (number, frame)).start()

    if callable(stop):
        signal.signal(signal.SIGTERM, leave)


def is_leaving() -> bool:
    """Tell whether the service is about to stop."""
    return _leaving.is_set()
