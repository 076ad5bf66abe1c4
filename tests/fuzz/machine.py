"""Runs damaged files in forked blocks, watches them from outside, and keeps what they break."""

from __future__ import annotations

import faulthandler
import io
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path

from robust.errors import InputError

HANG = 10.0
"""Seconds of the processor after which a mutant hangs."""
PATIENCE = 6
"""By how much more time may pass until then: a busy machine gives a process little of its time."""
MOST_GROWTH = 1536
"""Mebibytes by which a mutant may make its process grow."""
ROOM = 4 << 30
"""Bytes of address space that a block may take beyond those it begins with."""
BLOCK = 200
"""Mutants that one fork runs, so that what one leaves behind does not add up for ever."""
SHOWN = 3
"""Finds of one kind and place that are saved and printed; the others are counted."""
NOTE = "find.json"
"""In a saved find: target, seed, number and what happened."""

Files = dict[str, bytes]
"""A mutant: all its files, by their paths in the folder that it is read from."""

CONTEXT = multiprocessing.get_context("fork")


class BrokenPromise(AssertionError):
    """A mutant was accepted, but the result is not what the interface promises."""


def promise(kept: bool, said: str) -> None:
    if not kept:
        raise BrokenPromise(said)


@dataclass(frozen=True)
class Subject:
    """What a target is made of: seeds, the damage, and the use of what comes out."""

    seeds: Sequence[Files]
    damage: Callable[[Files, random.Random], Files]
    use: Callable[[Path], None]
    """Reads the files in a folder through the public entry. It ends, raises InputError (both are
    right), or anything else (a find)."""

    def mutant(self, name: str, seed: int, number: int) -> Files:
        """The mutant of a number: the same for the same seeds and seed."""
        rng = random.Random(f"{name}-{seed}-{number}")
        return self.damage(dict(self.seeds[number % len(self.seeds)]), rng)


def with_files(subject: Subject, folder: Path) -> Subject:
    """The same with every file of a folder as a further seed."""
    names = {name for seed in subject.seeds for name in seed}
    if len(names) != 1:
        raise InputError("a seed of this target is more than one file: it takes no others")
    (name,) = names
    others = [{name: path.read_bytes()} for path in sorted(folder.iterdir()) if path.is_file()]
    return replace(subject, seeds=[*subject.seeds, *others])


@dataclass(frozen=True)
class Target:
    """A kind of file that is fuzzed."""

    name: str
    prepare: Callable[[Path], Subject]
    """Makes the seeds, in an empty folder that stays until the end."""
    count: int = 2000
    """Mutants of a whole run."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    number: int
    kind: str
    """`accepted`, `refused`, or what was found: `traceback`, `message`, `promise`, `memory`,
    `hang`, `crash`."""
    said: str = ""
    place: str = ""
    """The innermost line of ours, of a traceback."""
    seconds: float = 0.0
    mebibytes: int = 0
    """Growth of the process at its largest."""

    @property
    def found(self) -> bool:
        return self.kind not in ("accepted", "refused")

    def __str__(self) -> str:
        place = f" at {self.place}" if self.place else ""
        return f"{self.kind}{place}: {self.said}"


@dataclass
class Tally:
    """Counts of one target, its worst mutants and its finds."""

    name: str
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    slowest: Outcome = Outcome(-1, "accepted")
    largest: Outcome = Outcome(-1, "accepted")
    finds: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> bool:
        """Count an outcome; whether it is a find that is not yet known well enough."""
        self.counts[outcome.kind] += 1
        self.slowest = max(self.slowest, outcome, key=lambda o: o.seconds)
        self.largest = max(self.largest, outcome, key=lambda o: o.mebibytes)
        if not outcome.found:
            return False
        self.finds.append(outcome)
        alike = [o for o in self.finds if _alike(o) == _alike(outcome)]
        return len(alike) <= SHOWN

    def __str__(self) -> str:
        found = sum(n for kind, n in self.counts.items() if kind not in ("accepted", "refused"))
        return (
            f"{self.name}: {self.counts.total()} mutants, {self.counts['accepted']} accepted, "
            f"{self.counts['refused']} refused, {found} finds; {self.seconds:.0f} s, slowest "
            f"{self.slowest.seconds:.2f} s (number {self.slowest.number}), largest "
            f"{self.largest.mebibytes} MiB (number {self.largest.number})"
        )


def _alike(outcome: Outcome) -> tuple[str, str, str]:
    kind = outcome.said.partition(":")[0] if outcome.kind == "traceback" else ""
    return outcome.kind, kind, outcome.place


Make = Callable[[int], Files]


def run(
    subject: Subject, make: Make, numbers: Iterable[int], workers: int = 2
) -> Iterator[Outcome]:
    """What becomes of the mutants of these numbers, in the order in which they end."""
    waiting = deque(_blocks(list(numbers), workers))
    running: list[_Block] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Block(subject, make, waiting.popleft()))
            connection.wait([block.pipe for block in running], timeout=0.2)
            for block in list(running):
                yield from block.outcomes()
                if block.ended:
                    running.remove(block)
                    if block.left:
                        waiting.appendleft(list(block.left))
    finally:
        for block in running:
            block.kill()


def _blocks(numbers: list[int], workers: int) -> Iterator[list[int]]:
    size = max(1, min(BLOCK, math.ceil(len(numbers) / workers)))
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


class _Block:
    """A forked process that uses one mutant after another, as its parent sees it."""

    def __init__(self, subject: Subject, make: Make, numbers: list[int]) -> None:
        self.left = deque(numbers)
        self.ended = False
        self.pipe, other = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_work, args=(other, subject, make, numbers))
        self._process.start()
        other.close()
        self._began = time.monotonic()

    def outcomes(self) -> Iterator[Outcome]:
        """Those since the last call; the last one of a process that died or hangs is its find."""
        try:
            while self.pipe.poll():
                outcome: Outcome = self.pipe.recv()
                self.left.popleft()
                self._began = time.monotonic()
                yield outcome
        except (EOFError, OSError):
            yield from self._end()
            return
        took = time.monotonic() - self._began
        if took > PATIENCE * HANG and self.left:
            self.kill()
            yield Outcome(self.left.popleft(), "hang", f"killed after {took:.0f} s", seconds=took)

    def _end(self) -> Iterator[Outcome]:
        self._process.join()
        self.ended = True
        self.pipe.close()
        code = self._process.exitcode or 0
        if self.left:
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield Outcome(self.left.popleft(), "crash", name)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.ended = True
        self.pipe.close()


def _work(
    pipe: connection.Connection, subject: Subject, make: Make, numbers: Sequence[int]
) -> None:
    """The life of a block: in a folder of its own, silent, and with bounded memory."""
    warnings.simplefilter("ignore")  # as the command line does
    faulthandler.disable()  # of pytest; a crash is reported by its signal
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    limit = _kilobytes("VmSize") * 1024 + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        for number in numbers:
            pipe.send(_attempt(subject, make(number), number, Path(folder) / "mutant"))


def _attempt(subject: Subject, files: Files, number: int, folder: Path) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = _reset_peak()
    began = time.process_time()
    kind, said, place = _judge(subject, folder)
    took = time.process_time() - began
    grown = max(0, _kilobytes("VmHWM") - before) >> 10
    if kind in ("accepted", "refused"):
        if took > HANG:
            kind, said = "hang", f"{took:.1f} s"
        elif grown > MOST_GROWTH:
            kind, said = "memory", f"{grown} MiB"
    return Outcome(number, kind, said, place, took, grown)


def _judge(subject: Subject, folder: Path) -> tuple[str, str, str]:
    try:
        subject.use(folder)
        return "accepted", "", ""
    except InputError as error:
        text = str(error)
        if not text.strip() or len(text.splitlines()) != 1 or not text.isprintable():
            return "message", repr(text[:200]), _place(error)
        return "refused", text, ""
    except BrokenPromise as error:
        return "promise", str(error)[:300], ""
    except BaseException as error:  # noqa: BLE001  (whatever comes is a find)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return "traceback", said[:300], _place(error)


def _place(error: BaseException) -> str:
    """The innermost line of our packages that an error went through."""
    root = Path(__file__).parent.parent.parent
    own = [
        f"{Path(frame.filename).relative_to(root).as_posix()}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and ".venv" not in frame.filename
    ]
    return own[-1] if own else ""


def _kilobytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


def _reset_peak() -> int:
    """Let the peak of this process's memory begin again; its kilobytes now."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return _kilobytes("VmRSS")


def memory_folder() -> str | None:
    """A folder in memory where there is one: thousands of small files are written."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def save(find: Outcome, files: Files, name: str, seed: int, folder: Path) -> Path:
    """A find as a zip file: its note, and the files of the mutant."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{seed}-{find.number}.zip"
    note = {"target": name, "seed": seed, "number": find.number, "found": str(find)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NOTE, json.dumps(note, indent=1))
        for inner, content in files.items():
            archive.writestr(f"files/{inner}", content)
    path.write_bytes(buffer.getvalue())
    return path


def load(path: Path) -> tuple[str, int, Files]:
    """Target, number and files of a saved find."""
    with zipfile.ZipFile(path) as archive:
        note = json.loads(archive.read(NOTE))
        names = [name for name in archive.namelist() if name.startswith("files/")]
        files = {name.removeprefix("files/"): archive.read(name) for name in names}
    return note["target"], note["number"], files
