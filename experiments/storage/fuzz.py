"""Broken DICOM files: does every one end in one InputError, soon and in little memory?

    python -m experiments.storage.fuzz --files ../shared/data/dicom --mutants 20000 --workers 2

Mutants are made of the files by a seed: bytes of the header or of the pixels changed, elements
given another length or value, pieces cut off, doubled or left out. Each is opened and read in a
process that is killed after five seconds and that may grow by one gibibyte. Prints a line for every
find and the counts; exit code 1 where there was any. Expected: none.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

SECONDS = 5.0
GROWTH = 1 << 30
PIXELS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
FIELDS = (0x0002, 0x0004, 0x0006, 0x0008, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103)
"""Elements of group 0028 that say how pixels lie in the file."""
FAULTS = ("crash", "slow", "memory", "error")


def mutant(data: bytes, rng: random.Random) -> bytes:
    """One of six kinds of damage, once to a few times."""
    found = bytearray(data)
    kinds = (_header, _pixels, _length, _field, _cut, _splice)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(kinds)(found, rng)
    return bytes(found)


def _start(data: bytearray) -> int:
    """Where the pixels begin, as far as their tag is found."""
    return max((data.rfind(tag) for tag in PIXELS), default=-1) % max(len(data), 1)


def _poke(data: bytearray, low: int, high: int, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 8, 64))):
        if low < high:
            data[rng.randrange(low, high)] = rng.choice(
                (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )


def _header(data: bytearray, rng: random.Random) -> None:
    _poke(data, min(128, len(data)), _start(data), rng)


def _pixels(data: bytearray, rng: random.Random) -> None:
    start = _start(data)
    _poke(data, start, min(len(data), start + rng.choice((64, 600, len(data)))), rng)


def _length(data: bytearray, rng: random.Random) -> None:
    """Another number where an element's length may stand."""
    if len(data) > 200:
        at = rng.randrange(132, max(_start(data), 133) + 12)
        value = rng.choice((0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFE, rng.getrandbits(32)))
        data[at : at + 4] = struct.pack("<I", value)


def _field(data: bytearray, rng: random.Random) -> None:
    """Another number of rows, bits, samples and the like."""
    tag = struct.pack("<HH", 0x28, rng.choice(FIELDS))
    at = data.find(tag)
    if at >= 0:
        value = rng.choice((0, 1, 2, 7, 31, 255, 4096, 32768, 65535, rng.getrandbits(16)))
        data[at + 8 : at + 10] = struct.pack("<H", value)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _splice(data: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 200, 5000))
    piece = bytes(data[at : at + size])
    if rng.random() < 0.5:
        del data[at : at + size]
    else:
        data[at:at] = piece * rng.choice((1, 3))


def attempt(path: Path) -> tuple[str, str]:
    """`read`, `refused`, or `error` with its kind; both at opening and at the pixels."""
    from robust.cases.dicom.frame import Frame, read_dicom
    from robust.cases.dicom.header import read_header
    from robust.errors import InputError

    try:
        header = read_header(path, b"salt")
        found = read_dicom(Frame(path, max(header.frames, 1) - 1))
        image = found.stored.image(found.pixels)
        if not (float(image.min()) >= 0 and float(image.max()) <= 1):
            return "error", "shown outside [0, 1]"
        return "read", ""
    except InputError as error:
        if error.__context__ is not None or "\n" in str(error):
            return "error", "an InputError that quotes another error"
        return "refused", str(error).removeprefix(str(path))
    except BaseException as error:  # noqa: BLE001  (whatever comes is a find)
        return "error", f"{type(error).__name__}: {error}"


def _work(pipe: Connection, folder: str) -> None:
    import torch

    torch.set_num_threads(1)
    path = Path(folder) / "mutant.dcm"
    attempt(path)  # imports are part of the baseline
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send("ready")
    while (data := pipe.recv()) is not None:
        path.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        kind, said = attempt(path)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        pipe.send((kind, said, time.perf_counter() - began, grown))


class Worker:
    """A process that reads one mutant after another, and is replaced when one takes it down."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        self._begin()

    def _begin(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(other, self._folder.name))
        self._process.start()
        other.close()
        self._pipe.recv()

    def send(self, data: bytes) -> None:
        self._pipe.send(data)

    def receive(self) -> tuple[str, str, float, int]:
        """Kind, words, seconds, and kilobytes by which the process grew beyond its largest."""
        try:
            if self._pipe.poll(SECONDS):
                found: tuple[str, str, float, int] = self._pipe.recv()
                if "memory" in found[1]:
                    return "memory", *found[1:]
                return found
            kind, said = "slow", f"more than {SECONDS:g} s"
        except EOFError:
            self._process.join()
            kind, said = "crash", f"exit code {self._process.exitcode}"
        self._end()
        self._begin()
        return kind, said, SECONDS, 0

    def close(self) -> None:
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def fuzz(
    sources: list[bytes], mutants: int, seed: int, workers: int = 2, seconds: float = 1e9
) -> tuple[Counter[str], list[tuple[int, str, str]], float, int]:
    """Counts by kind, the finds with their numbers, the longest time, the largest growth in kB."""
    crew = [Worker() for _ in range(workers)]
    counts: Counter[str] = Counter()
    finds: list[tuple[int, str, str]] = []
    longest, largest, end = 0.0, 0, time.monotonic() + seconds
    for number in range(0, mutants, workers):
        if time.monotonic() > end:
            break
        batch = list(zip(range(number, min(number + workers, mutants)), crew))
        for i, worker in batch:
            worker.send(make(sources, i, seed))
        for i, worker in batch:
            kind, said, took, grown = worker.receive()
            counts[kind] += 1
            longest, largest = max(longest, took), max(largest, grown)
            if kind in FAULTS:
                finds.append((i, kind, said))
    for worker in crew:
        worker.close()
    return counts, finds, longest, largest


def make(sources: list[bytes], number: int, seed: int) -> bytes:
    """The mutant of that number, the same for the same files and seed."""
    rng = random.Random(f"{seed}-{number}")
    return mutant(sources[number % len(sources)], rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=Path, default=Path("../shared/data/dicom"))
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    given = parser.parse_args()
    paths = sorted(given.files.glob("*.dcm"))
    if not paths:
        sys.exit(f"no .dcm files in {given.files}")
    began = time.monotonic()
    sources = [path.read_bytes() for path in paths]
    counts, finds, longest, largest = fuzz(
        sources, given.mutants, given.seed, given.workers, given.seconds
    )
    for number, kind, said in finds:
        print(number, paths[number % len(paths)].name, kind, said)
    print(
        f"{counts.total()} mutants of {len(paths)} files in {time.monotonic() - began:.0f} s: "
        f"{dict(counts)}; the slowest took {longest:.2f} s, the largest added {largest >> 10} MiB"
    )
    sys.exit(bool(finds))


if __name__ == "__main__":
    main()
