"""Episodes from several processes, in the order of their seeds.

Seed i goes to process i modulo K and its result comes back through that process's own pipe, so the order needs no
sorting and the results do not depend on K.
"""

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol, TypeVar

from robotics.errors import RoboticsError

R = TypeVar("R", covariant=True)

#: Attempts handed to a process ahead of time, so that it does not wait for its turn.
AHEAD = 2
#: A process that closed its pipe is given so long to end [s].
_ENDING_S = 5.0

#: A process and our end of its pipe.
Worker = tuple[SpawnProcess, Connection]


class Job(Protocol[R]):
    """What the workers do; pickled to them. `open` gives a function from a seed to a picklable result, depending on
    nothing but the seed, and closes what it opened."""

    def open(self) -> AbstractContextManager[Callable[[int], R]]: ...


@contextmanager
def in_order(job: Job[R], seeds: Sequence[int], workers: int) -> Iterator[Iterator[R]]:
    """The results of `job` for `seeds`, in their order, by `workers` processes (in this process when it is one)."""
    if workers == 1:
        with job.open() as work:
            yield (work(seed) for seed in seeds)
        return
    started: list[Worker] = []
    try:
        with _interrupts_blocked():
            for _ in range(workers):
                started.append(_start(job))
        yield _collect(started, seeds)
    finally:
        for process, _ in started:
            process.kill()
        for process, _ in started:
            process.join()


def _collect(workers: list[Worker], seeds: Sequence[int]) -> Iterator[Any]:
    ahead = AHEAD * len(workers)
    for number, seed in enumerate(seeds[:ahead]):
        _send(workers[number % len(workers)], seed)
    for number in range(len(seeds)):
        worker = workers[number % len(workers)]
        result = _receive(worker)
        if number + ahead < len(seeds):
            _send(worker, seeds[number + ahead])
        yield result


def _send(worker: Worker, seed: int) -> None:
    process, pipe = worker
    try:
        pipe.send(seed)
    except OSError:
        raise _died(process) from None


def _receive(worker: Worker) -> Any:
    process, pipe = worker
    try:
        result = pipe.recv()
    except (EOFError, OSError):
        raise _died(process) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _died(process: SpawnProcess) -> RoboticsError:
    process.join(_ENDING_S)
    if process.exitcode == 1:  # an exception outside of `_work`: Python could not begin it
        return RoboticsError(
            "a worker process ended before it began, see above; a script that starts some must do it under "
            "`if __name__ == '__main__':`, since each of them imports the script"
        )
    return RoboticsError("a worker process was killed, perhaps for want of memory; try fewer --workers")


def _start(job: Job[Any]) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()  # so that reading ends when the process does
    return process, ours


def _work(job: Job[Any], pipe: Connection) -> None:
    """What a worker does until the other end hangs up, or dies."""
    with suppress(EOFError, ConnectionError):
        try:
            with job.open() as work:
                while True:
                    pipe.send(work(pipe.recv()))
        except (EOFError, ConnectionError):
            raise
        except RoboticsError as error:
            pipe.send(error)
        except Exception:  # as text, since not every exception survives the way to another process
            pipe.send(RuntimeError(f"in a worker process:\n{traceback.format_exc()}"))


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started here never see a Ctrl-C: their parent ends them. The parent gets a pending one afterwards."""
    resource_tracker.ensure_running()  # multiprocessing's helper: starting it unblocks SIGINT (bpo-33613)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
