"""Processes to be killed, each forked from one that has imported the stack.

Importing it takes a second of each start; that is not what these tests kill.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["aistack.wiring"])


def start(run: Callable[..., None], *arguments: object) -> BaseProcess:
    """Run a function of a module in a process of its own."""
    process = _context.Process(target=run, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """SIGKILL; it is gone afterwards."""
    process.kill()
    process.join(10)
    assert process.exitcode == -9, "it ended by itself"
