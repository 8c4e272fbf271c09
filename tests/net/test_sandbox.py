"""Real programs, most of them hostile, in the box: with a PID namespace and without one."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from posture.model import NotSeen, Reason
from posture.net.sandbox import MEBIBYTE, Box, End, Ran, run_boxed
from tests.faults.boxes import Watched

SHELL = "/bin/sh"
# Far beyond what anything here takes; a test that needs it has failed.
LONG = 30.0

Namespaces = pytest.mark.parametrize("namespace", [True, False], ids=["namespace", "subreaper"])


def boxed(argv: list[str], *, seconds: float = LONG, stdin: bytes = b"", **box: Any) -> Ran:
    async def run() -> Ran:
        deadline = asyncio.get_running_loop().time() + seconds
        return await run_boxed(argv, deadline=deadline, stdin=stdin, box=Box(**box))

    return asyncio.run(run())


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def alive(marker: Path) -> list[int]:
    """Processes that were started with the marker among their arguments and still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(marker).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def descriptors() -> list[str]:
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


async def appears(*paths: Path) -> None:
    async with asyncio.timeout(LONG):
        while not all(path.exists() for path in paths):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def in_the_box(argv: list[str], **box: Any) -> AsyncIterator[asyncio.Task[Ran]]:
    task = asyncio.create_task(
        run_boxed(argv, deadline=asyncio.get_running_loop().time() + LONG, box=Box(**box)), name="box"
    )
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@Namespaces
def test_a_program_gets_its_arguments_its_input_and_nothing_else(namespace: bool, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET", "of the operator")
    with Path("/dev/null").open("rb") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        code = (
            "import json, os, sys;"
            "print(json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read(), os.getcwd(), os.listdir('.'),"
            "sorted(os.listdir('/proc/self/fd'))]))"
        )
        ran = boxed([*python(code), "$(id)", "--x; ls *"], stdin=b"in\n", namespace=namespace)

    arguments, environment, read, cwd, files, held = json.loads(ran.stdout)
    assert ran.succeeded
    assert arguments == ["$(id)", "--x; ls *"]
    assert environment == {"LC_ALL": "C.UTF-8", "HOME": cwd}
    assert read == "in\n"
    assert files == []
    assert len(held) == 4, "three streams, and the one that lists"
    assert not Path(cwd).exists()


@Namespaces
def test_it_has_a_session_of_its_own_no_capability_and_no_way_back_to_one(namespace: bool) -> None:
    code = "import os; print(open('/proc/self/status').read()); print('Session:', os.getsid(0))"
    ran = boxed(python(code), namespace=namespace)

    held = dict(line.split(None, 1) for line in ran.stdout.decode().splitlines() if ":" in line and line.split()[1:])
    assert held["Session:"] != str(os.getsid(0))
    assert held["NoNewPrivs:"] == "1"
    assert {held[f"Cap{kind}:"] for kind in ("Eff", "Prm", "Bnd") if os.geteuid() == 0 or kind != "Bnd"} == {"0" * 16}


@Namespaces
@pytest.mark.parametrize(
    ("command", "end", "status"),
    [("exit 0", End.EXITED, 0), ("exit 7", End.EXITED, 7), ("kill -TERM $$", End.SIGNALLED, -15)],
)
def test_how_it_ended_is_told(command: str, end: End, status: int, namespace: bool) -> None:
    ran = boxed([SHELL, "-c", command], namespace=namespace)

    assert (ran.end, ran.status, ran.succeeded) == (end, status, status == 0)


@pytest.mark.parametrize("name", ["nosuch", "folder", "text"])
@Namespaces
def test_what_is_no_program_is_a_missing_tool(name: str, namespace: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(NotSeen) as caught:
        boxed([str(tmp_path / name)], namespace=namespace)
    assert caught.value.reason is Reason.TOOL_MISSING


@pytest.mark.parametrize("argv", [[], ["sh"], ["./sh"], ["", "x"], ["/bin/sh", "a\0b"]])
def test_programs_have_absolute_paths_and_arguments_no_nul(argv: list[str]) -> None:
    with pytest.raises(ValueError, match=r"absolute|NUL"):
        boxed(argv)


def test_a_machine_that_cannot_start_anything_says_so(monkeypatch: Any) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    before = len(descriptors())
    with pytest.raises(NotSeen) as caught:
        boxed([SHELL, "-c", "true"])
    assert caught.value.reason is Reason.VANTAGE_LIMITED
    assert len(descriptors()) == before


@Namespaces
@pytest.mark.parametrize("stream", [1, 2])
def test_a_flood_of_output_is_cut_and_ended(stream: int, namespace: bool) -> None:
    ran = boxed([SHELL, "-c", f"exec yes >&{stream}"], output_limit=100_000, namespace=namespace)

    assert (ran.end, ran.status) == (End.OUTPUT, None)
    assert len(ran.stdout if stream == 1 else ran.stderr) == 100_000


def test_output_up_to_the_limit_is_no_flood() -> None:
    code = "import os; [os.write(1, b'x' * 50_000) for _ in range(20)]"

    assert boxed(python(code), output_limit=1_000_000).end is End.EXITED
    assert boxed(python(code), output_limit=999_999).end is End.OUTPUT


@Namespaces
def test_who_never_reads_its_input_and_ignores_every_signal_is_killed_at_the_deadline(namespace: bool) -> None:
    code = (
        "import signal, time;"
        "[signal.signal(n, signal.SIG_IGN) for n in range(1, 32) if n not in (9, 19)];"
        "print('deaf', flush=True); time.sleep(1000)"
    )
    ran = boxed(python(code), seconds=2.0, stdin=b"x" * 5_000_000, namespace=namespace)

    assert (ran.end, ran.status, ran.stdout) == (End.DEADLINE, None, b"deaf\n")


@Namespaces
def test_memory_without_bound_is_refused(namespace: bool) -> None:
    ran = boxed(python("x = []\nwhile True: x.append(bytes(10_000_000))"), memory=200 * MEBIBYTE, namespace=namespace)

    assert ran.end is End.EXITED
    assert ran.status == 1
    assert b"MemoryError" in ran.stderr


@Namespaces
def test_processor_time_is_bounded(namespace: bool) -> None:
    assert boxed([SHELL, "-c", "while :; do :; done"], cpu_seconds=1, namespace=namespace).end is End.CPU


@Namespaces
def test_processor_time_is_bounded_for_who_ignores_the_warning(namespace: bool) -> None:
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    ran = boxed(python(code), cpu_seconds=1, namespace=namespace)

    assert ran.status == -signal.SIGKILL


@Namespaces
def test_files_are_bounded_in_size_and_number(namespace: bool) -> None:
    large = boxed(python("open('f', 'wb').write(bytes(2_000_000))"), file_bytes=1_000_000, namespace=namespace)
    many = boxed(python("x = [open('/dev/null') for _ in range(100)]"), files=50, namespace=namespace)

    assert (large.status, many.status) == (1, 1)
    assert b"File too large" in large.stderr
    assert b"Too many open files" in many.stderr


# Leaves the session, ignores signals, has its parent die, and says by a file that it is there.
ORPHAN = """
import os, signal, sys, time
for n in range(int(sys.argv[2])):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open(f"{sys.argv[1]}.{n}", "w").close()
            time.sleep(1000)
        os._exit(0)
"""


def orphans(marker: Path, count: int, then: str) -> list[str]:
    return [*python(ORPHAN + then), str(marker), str(count)]


@Namespaces
def test_descendants_that_left_die_with_a_program_that_ends(namespace: bool, tmp_path: Path) -> None:
    marker = tmp_path / "m"
    wait = "\nwhile not all(os.path.exists(f'{sys.argv[1]}.{n}') for n in range(5)): time.sleep(0.01)"
    ran = boxed(orphans(marker, 5, wait), namespace=namespace)

    assert ran.succeeded
    assert len(list(tmp_path.glob("m.*"))) == 5
    assert alive(marker) == []


@Namespaces
def test_descendants_that_left_die_when_the_caller_is_cancelled(namespace: bool, tmp_path: Path) -> None:
    marker = tmp_path / "m"

    async def scenario() -> None:
        async with in_the_box(orphans(marker, 5, "\ntime.sleep(1000)"), namespace=namespace) as task:
            await appears(*(tmp_path / f"m.{n}" for n in range(5)))
            assert len(alive(marker)) >= 6
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()  # in the middle of the burial
            with pytest.raises(asyncio.CancelledError):
                await task
            assert alive(marker) == []

    asyncio.run(scenario())


@Namespaces
def test_posture_killed_outright_leaves_nobody_behind(namespace: bool, tmp_path: Path) -> None:
    marker = tmp_path / "m"
    code = (
        "import asyncio, sys\n"
        "from posture.net.sandbox import Box, run_boxed\n"
        "async def main():\n"
        "    await run_boxed(sys.argv[1:], deadline=asyncio.get_running_loop().time() + 1000,"
        f" box=Box(namespace={namespace}))\n"
        "asyncio.run(main())\n"
    )
    script = tmp_path / "scanner.py"
    script.write_text(code)
    folders = tmp_path / "folders"
    folders.mkdir()
    posture = subprocess.Popen(
        [sys.executable, str(script), *orphans(marker, 3, "\ntime.sleep(1000)")],
        env={"TMPDIR": str(folders), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )
    try:
        until(lambda: len(list(tmp_path.glob("m.*"))) == 3)
        assert len(alive(marker)) > 4
        assert list(folders.iterdir())
    finally:
        posture.kill()
        posture.wait()

    until(lambda: not alive(marker))
    until(lambda: not list(folders.iterdir()))


@Namespaces
def test_a_fork_bomb_is_put_out(namespace: bool, tmp_path: Path) -> None:
    """Every process starts two and ends, so that none is ever found twice; bounded, in case the box fails."""
    marker = tmp_path / "m"
    bomb = """
import os, time
end = time.monotonic() + 60
if os.fork():
    time.sleep(60)
    os._exit(0)
while time.monotonic() < end:
    if os.fork() and os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.2)
"""

    async def scenario() -> None:
        async with in_the_box([*python(bomb), str(marker)], namespace=namespace) as task:
            async with asyncio.timeout(LONG):
                while len(alive(marker)) < 60:
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert alive(marker) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("call", ["set_blocking", "pidfd_open", "read", "write", "pipe"])
def test_what_cannot_be_attended_is_not_seen_and_nothing_of_it_is_left(
    call: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """At the first such call that this machine refuses; a program that nobody hears would run to its deadline."""
    before = descriptors()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    refusals = iter([True])

    def report(make: Callable[[], BaseException]) -> None:
        if next(refusals, False):
            raise make()

    monkeypatch.setattr("posture.net.sandbox.os", Watched(os, report, {call: errno.EMFILE}))
    with pytest.raises(NotSeen) as caught:
        boxed(
            [SHELL, "-c", f"echo heard; exec {sys.executable} -c 'import time; time.sleep(600)' {tmp_path}"],
            stdin=b"in",
        )
    monkeypatch.undo()

    assert caught.value.reason is Reason.VANTAGE_LIMITED
    assert os.strerror(errno.EMFILE) in str(caught.value.detail)
    until(lambda: alive(tmp_path) == [])
    assert list(tmp_path.iterdir()) == []
    assert descriptors() == before


def test_no_zombie_and_no_descriptor_is_left() -> None:
    async def scenario() -> None:
        before = descriptors()
        for argv, seconds in (([SHELL, "-c", "exit 1"], LONG), (["/bin/sleep", "100"], 0.2)):
            await run_boxed(argv, deadline=asyncio.get_running_loop().time() + seconds)
        assert descriptors() == before
        with suppress(ChildProcessError):  # other tests may have children
            assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    asyncio.run(scenario())


def test_many_boxes_run_side_by_side() -> None:
    async def scenario() -> list[Ran]:
        deadline = asyncio.get_running_loop().time() + LONG
        words: list[Coroutine[Any, Any, Ran]] = [
            run_boxed(["/bin/cat"], stdin=str(n).encode() * 1000, deadline=deadline) for n in range(8)
        ]
        return await asyncio.gather(*words)

    assert [ran.stdout for ran in asyncio.run(scenario())] == [str(n).encode() * 1000 for n in range(8)]
