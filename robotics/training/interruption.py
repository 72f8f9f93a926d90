"""What a Ctrl-C, or a cluster that wants its machine back, does to a training: it ends between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C, or a cluster's SIGTERM, into a flag, so that a step is never cut in half; the second one
    interrupts at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def raise_flag(number: int, _: object) -> None:
        flag.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, raise_flag) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
