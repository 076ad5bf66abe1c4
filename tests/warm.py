"""The command line in processes of their own, forked from one that has imported everything."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
PRELOAD = (
    *("torch", "torchvision", "timm", "pandas", "pyarrow.parquet", "sklearn.linear_model"),
    *("scipy.stats", "matplotlib.figure", "matplotlib.backends.backend_svg", "jinja2"),
    *("robust.cli.app", "robust.auditing", "robust.report", "robust.report.formats.html"),
    *("robust.report.formats.markdown", "robust.report.formats.terminal", "robust.gallery.png"),
)
"""What an audit imports."""
HOST = "qzx7host"
"""Name of the machine that commands see, where this user may give it one."""
_ON_HOST = ("unshare", "-u", "sh", "-c", 'hostname "$0" && exec "$@"', HOST)


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    """Exit code; minus the signal where one killed it."""
    out: str
    err: str


@dataclass
class Running:
    """A command under way."""

    warm: Warm
    pid: int
    folder: Path
    """Folder of its three files: standard output, standard error, stages."""
    ended: int | None = None
    """Its exit code, once that is known."""

    def stages(self) -> list[tuple[float, str]]:
        """Time and label of every stage that the command has shown as its progress so far."""
        lines = _text(self.folder / "stages").split("\n")[:-1]
        return [(float(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.code() is None:
            os.kill(self.pid, number)

    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.ended is None:
            self.ended = self.warm.ask(poll=self.pid)
        return self.ended

    def wait(self, seconds: float = 240) -> Done:
        """Its end; AssertionError where that takes longer."""
        end = time.monotonic() + seconds
        while (code := self.code()) is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise AssertionError(f"hangs: {self.output()} {self.stages()[-1:]}")
            time.sleep(0.03)
        return Done(code, *self.output())

    def output(self) -> tuple[str, str]:
        """What it has written to standard output and standard error so far."""
        return _text(self.folder / "out"), _text(self.folder / "err")


class Warm:
    """A process with all imports done; it forks one child for each command."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._count = scratch, 0
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [*_on_host(), sys.executable, "-m", "tests.warm"],
            cwd=ROOT,
            env={**os.environ, **threads, "COLUMNS": "100"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.ask(ready=True)

    @property
    def pid(self) -> int:
        """Number of the warm process."""
        return self._process.pid

    def ask(self, **request: Any) -> Any:
        """One request to the warm process and its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        cwd: Path,
        *arguments: object,
        env: Mapping[str, str | None] | None = None,
        limits: Mapping[str, int] | None = None,
        uid: int | None = None,
        threads: int = 1,
        module: str | None = None,
        refused: Mapping[str, int] | None = None,
        network: str | None = None,
    ) -> Running:
        """Begin `robust ARGUMENTS` in a folder, or another module than robust.

        `limits` are those of `resource`, by name; `refused` is what the kernel refuses it, with an
        error number (tests/faults/kernel.py); folders named `network` lie on an NFS disk.
        """
        self._count += 1
        folder = self._scratch / str(self._count)
        folder.mkdir()
        pid = self.ask(
            arguments=[os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments],
            cwd=str(cwd),
            env=dict(env or {}),
            limits=dict(limits or {}),
            uid=uid,
            threads=threads,
            module=module,
            refused=dict(refused or {}),
            network=network,
            folder=str(folder),
        )
        return Running(self, pid, folder)

    def run(self, cwd: Path, *arguments: object, **options: Any) -> Done:
        """`robust ARGUMENTS` to its end."""
        return self.start(cwd, *arguments, **options).wait()

    def close(self) -> None:
        """End the warm process."""
        with self._process:  # which closes its pipes and waits
            pass


def _on_host() -> tuple[str, ...]:
    """What comes before a command so that it sees another name of the machine, if possible."""
    try:
        possible = subprocess.run([*_ON_HOST, "true"], capture_output=True).returncode == 0
    except OSError:
        possible = False
    return _ON_HOST if possible else ()


@contextlib.contextmanager
def warm(scratch: Path) -> Iterator[Warm]:
    """A warm process that ends with the block."""
    process = Warm(scratch)
    try:
        yield process
    finally:
        process.close()


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""


def _serve() -> None:
    """Answer the requests on standard input, one a line."""
    import importlib

    for name in PRELOAD:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        if "ready" in request:
            answer: int | None = 1
        elif "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _child(request)
        print(json.dumps(answer), flush=True)


def _child(request: Mapping[str, Any]) -> None:
    """Become the command; never returns."""
    code = 70
    try:
        code = _command(request)
    except BaseException:  # noqa: BLE001  (a fork must not return)
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _command(request: Mapping[str, Any]) -> int:
    import resource
    import runpy
    import tempfile

    import torch

    from robust.cli import app
    from robust.cli import audit as audit_command

    # A background job of a shell ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    folder = Path(request["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    for place, name in ((1, "stdout"), (2, "stderr")):
        stream = os.fdopen(place, "w", encoding="utf-8", errors="strict", closefd=False)
        setattr(sys, name, stream)
    stages = os.open(folder / "stages", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for name, value in request["env"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    tempfile.tempdir = None
    torch.set_num_threads(request["threads"])
    os.chdir(request["cwd"])
    sys.path.insert(0, request["cwd"])
    sys.argv = ["robust", *request["arguments"]]
    _note_stages(audit_command, stages)
    if request["uid"] is not None:
        os.setgroups([])
        os.setgid(request["uid"])
        os.setuid(request["uid"])
    for name, most in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    for name, number in request["refused"].items():
        from tests.faults.kernel import refuse

        refuse(name, number)
    if request["network"] is not None:
        from robust.engine import run_store
        from robust.engine.database import working_copy

        working_copy._EVERY = 0.1  # an audit of a few seconds is copied several times
        run_store.network_disk = lambda path: "nfs4" * (request["network"] in path.parts)
    try:
        if request["module"] is None:
            app.main()
        else:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _note_stages(command: Any, stages: int) -> None:
    """Let the progress of `robust audit` be noted in a file, each label as it appears."""
    from robust.progress import Shown

    shown = command.progress_bar

    @contextlib.contextmanager
    def noting() -> Iterator[Any]:
        with shown() as show:
            last = ""

            def note(done: float, total: float, label: str) -> None:
                nonlocal last
                if label != last:
                    last = label
                    os.write(stages, f"{time.time():.4f} {label}\n".encode())
                show(done, total, label)

            yield Shown(note, show.announce)

    command.progress_bar = noting


if __name__ == "__main__":
    _serve()
    os._exit(0)  # torch takes seconds to go
