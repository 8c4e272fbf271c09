"""The process between posture and a program in a box: run as a script by sandbox.py, imports nothing of posture.

    python -I -S -B keeper.py TERMS PROGRAM [ARGUMENT ...]

It makes sure that everything that the program ever started is dead when this process is, and that this process is dead
when posture is (PR_SET_PDEATHSIG). Where the kernel permits, the program lives in a PID namespace: the kernel itself
kills all of it with its first process. Elsewhere this process is the subreaper of all descendants (prctl(2)), stops
and then kills every one of them; there a program that kills this process on purpose, or whose processes follow each
other faster than they are found, may leave grandchildren behind.

TERMS is JSON: {"parent", "status", "folder", "namespace", "limits": {"as", "cpu", "nofile", "fsize"}}.
What became of the program is written to the descriptor ``status``: "exit 3", "signal 9" or "failed 2" (errno).
"""

import ctypes
import errno
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

# linux/prctl.h, linux/sched.h
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
CAPABILITIES = 64
EVENTS = {signal.SIGCHLD, signal.SIGTERM}
PARENT_GONE = 3
PAUSE = 0.002  # seconds for the killed to die

_libc = ctypes.CDLL(None, use_errno=True)


def keep(terms: dict[str, Any], program: list[str]) -> int:
    """The keeper's life; its exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, EVENTS)
    os.set_inheritable(terms["status"], False)
    separate = terms["namespace"] and own_processes()
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != terms["parent"]:
        return PARENT_GONE
    watched, held = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held)
        inhabit(terms, program, keeper=watched, separate=separate)
    let_go()
    while True:
        if signal.sigwait(EVENTS) == signal.SIGTERM:
            break
        ended = reaped(first)
        if ended is not None:
            if not separate:
                report(terms["status"], ended)
            break
    end_all(first)
    shutil.rmtree(terms["folder"], ignore_errors=True)
    return 0


def own_processes() -> bool:
    """Whether the next child is the first process of a PID namespace; needs root, or a user namespace."""
    return any(_libc.unshare(flags) == 0 for flags in (CLONE_NEWPID, CLONE_NEWUSER | CLONE_NEWPID))


def inhabit(terms: dict[str, Any], program: list[str], *, keeper: int, separate: bool) -> None:
    """In the first child: becomes the program, or in a namespace of its own its first process. Does not return.

    ``keeper`` is a pipe that ends with the keeper: it may have died before the kernel was asked to tell.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([keeper], [], [], 0)[0]:
        os._exit(PARENT_GONE)
    os.setsid()
    if not separate:
        become(terms, program)
    child = os.fork()
    if child == 0:
        become(terms, program)
    let_go()
    while (ended := reaped(child, wait=True)) is None:
        pass
    report(terms["status"], ended)
    os._exit(0)  # and the kernel kills whatever else lives in the namespace


def become(terms: dict[str, Any], program: list[str]) -> None:
    """Limits, then the program. Does not return."""
    try:
        for capability in range(CAPABILITIES):
            _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for name, most in terms["limits"].items():
            limit(getattr(resource, f"RLIMIT_{name.upper()}"), most, spare=1 if name == "cpu" else 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.execve(program[0], program, dict(os.environ))  # noqa: S606 - an argument list, and no shell
    except OSError as fault:
        os.write(terms["status"], f"failed {fault.errno}\n".encode())
    finally:
        os._exit(127)


def limit(which: int, most: int, spare: int) -> None:
    """Lowers one limit; the processor's hard limit comes a second after the signal of the soft one."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
        spare = min(spare, hard - most)
    resource.setrlimit(which, (most, most + spare))


def reaped(awaited: int, *, wait: bool = False) -> int | None:
    """Takes note of dead children; the wait status of ``awaited`` when it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == awaited:
            return status
        if pid == 0:
            return None


def report(descriptor: int, status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    os.write(descriptor, (f"exit {code}\n" if code >= 0 else f"signal {-code}\n").encode())


def end_all(first: int) -> None:
    """Kills every descendant. In a namespace the first is enough; else all are stopped before any is killed, so that
    none can start another meanwhile."""
    kill(first, signal.SIGKILL)
    while True:
        reaped(0)
        stopped: set[int] = set()
        while fresh := descendants() - stopped:
            for pid in fresh:
                kill(pid, signal.SIGSTOP)
            stopped |= fresh
        if not stopped:
            return
        for pid in stopped:
            kill(pid, signal.SIGKILL)
        time.sleep(PAUSE)


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError as fault:
        if fault.errno != errno.ESRCH:
            raise


def descendants() -> set[int]:
    """All processes below this one that are still to be killed or reaped."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in brackets may hold anything, brackets too; state and parent follow the last one.
                words = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(words[1]), []).append(int(entry.name))
    found: set[int] = set()
    unseen = [os.getpid()]
    while unseen:
        fresh = children.get(unseen.pop(), [])
        found.update(fresh)
        unseen += fresh
    return found


def let_go() -> None:
    """The program alone holds its standard streams."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)


if __name__ == "__main__":
    sys.exit(keep(json.loads(sys.argv[1]), sys.argv[2:]))
