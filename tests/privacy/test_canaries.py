"""Nothing that names a patient, a file, a machine or a user is in any output of any command."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pytest

from tests.privacy.plant import (
    NUMBERS,
    Markers,
    write_dicoms,
    write_images,
    write_model,
    write_npz,
)
from tests.privacy.search import STEM, Dictionary, search_files
from tests.warm import HOST, Done, Warm

PLAN = """
# {comment}
title = "A title that is meant to be read"
[model]
factory = "toynet:net"
weights = "{weights}"
channels = 1
head = "softmax"
[data]
path = "{data}"
{where}
[audit]
eps = ["4/255"]
chunk = 16
"""
FULL = """
[[attacks]]
name = "FGSM"
[[attacks]]
name = "PGD"
steps = 3
[[detectors]]
name = "Mahalanobis"
[[detectors]]
name = "MaxSoftmax"
[detection]
adaptive = 4
adaptive_steps = 3
[scenarios]
universal = [2]
patch = [0.1]
cases = 12
surrogate = {{ factory = "toynet:net", weights = "{weights}", channels = 1, head = "softmax" }}
[report]
gallery = 2
"""
QUICK = '[doubts]\nprobe = false\n[[attacks]]\nname = "FGSM"\n'


@dataclass
class World:
    """Inputs full of markers, and what commands made of them."""

    commands: Warm
    folder: Path
    """Where the commands run; its name and those above it are markers."""
    mark: Markers
    weights: str
    done: dict[tuple[str, ...], Done] = field(default_factory=dict)

    def plan(self, data: str, more: str, where: str = "") -> str:
        """The name of a new plan file on that data."""
        number = len(list(self.folder.glob("*.toml")))
        name = f"{self.mark(f'plan{number}')}.toml"
        text = PLAN.format(
            comment=self.mark("comment"), weights=self.weights, data=data, where=where
        )
        text += more.format(weights=self.weights)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def out(self, name: str) -> str:
        """An output folder or file whose name, and the folder above it, are markers."""
        return f"{self.mark('outputs')}/{self.mark(name)}"

    def run(self, *arguments: str, module: str | None = None) -> Done:
        """A command that succeeds, with markers in its environment."""
        env = {name: self.mark(name.lower()) for name in ("USER", "LOGNAME", "HOSTNAME", "SECRET")}
        env |= {"HOME": f"/tmp/{self.mark('home')}", "TMPDIR": str(self.temporary)}
        done = self.commands.run(self.folder, *arguments, env=env, module=module)
        assert done.code == 0, (arguments, done)
        self.done[arguments] = done
        return done

    @property
    def temporary(self) -> Path:
        """Folder for temporary files."""
        path = self.folder / self.mark("temporary")
        path.mkdir(exist_ok=True)
        return path

    @property
    def dictionary(self) -> Dictionary:
        """All markers, and what cannot carry their stem."""
        return dictionary(frozenset(self.mark.known))

    def found(self, *outputs: str) -> list[str]:
        """What is found in the output folders, or in the files of those names."""
        roots = []
        for name in outputs:
            path = self.folder / name
            if path.is_file():  # beside nothing else
                alone = path.with_name("alone")
                alone.mkdir(exist_ok=True)
                path = Path(shutil.copy(path, alone / "file")).parent
            roots.append(path)
        return search_files(self.dictionary, roots)

    def said(self) -> list[str]:
        """What is found on standard output, but for the output's own folder."""
        found = []
        for arguments, done in self.done.items():
            text = done.out
            for given in (
                one for one in arguments if STEM in one
            ):  # "Report: OUT/report.html" is for whoever wrote --out OUT
                text = text.replace(given, "")
            text = text.replace(self.mark("outputs"), "")
            found += [
                f"{' '.join(arguments[:1])}: {one}" for one in self.dictionary.search(text.encode())
            ]
        return found


@lru_cache(maxsize=1)
def dictionary(markers: frozenset[str]) -> Dictionary:
    """Built anew where a marker has come; to hash them all takes a while."""
    host = {socket.gethostname(), HOST} - {""}
    return Dictionary(set(markers), {*NUMBERS, *host, "Müller"})


def nothing(found: list[str]) -> None:
    """Nothing was found."""
    assert not found, "\n".join([f"{len(found)} found:", *found])


@pytest.fixture(scope="module")
def world(commands: Warm, tmp_path_factory: pytest.TempPathFactory) -> World:
    mark = Markers()
    folder = tmp_path_factory.mktemp("privacy") / mark("parent") / mark("work")
    folder.mkdir(parents=True)
    weights = write_model(folder, mark)
    write_images(folder / mark("data"), mark)
    write_dicoms(folder / mark("dicoms"), mark)
    return World(commands, folder, mark, weights)


def test_the_search_finds_what_is_planted(world: World) -> None:
    """Otherwise the other tests could not fail."""
    import base64
    import hashlib
    import zlib

    marker = world.mark("patient3-Müller")
    word = marker.encode()
    digest = hashlib.sha256(word)
    for content in (
        *(word, word.upper(), word[::-1], word.hex().encode(), marker.encode("utf-16-le")),
        *(base64.b64encode(b"x" * n + word) for n in range(3)),
        b"<td>" + base64.b64encode(b"y" * 100 + word) + b"</td>",
        *("".join(f"%{b:02x}" for b in word).encode(), b"M\\u00fcller", b"M&uuml;ller"),
        *(digest.hexdigest()[:8].encode(), b"id-" + digest.hexdigest()[:12].encode()),
        *(b"abc" + digest.digest(), f"{zlib.crc32(word):08x}".encode()),
        *(NUMBERS[0].encode(), NUMBERS[2].encode()),
    ):
        assert list(world.dictionary.search(content)), content
    for path in (world.folder / world.mark("data")).iterdir():
        assert path.is_dir() or list(world.dictionary.search(path.read_bytes())), path
    clean = b"An ordinary text, and a digest of something else: " + hashlib.md5(b"1").digest()
    assert not list(world.dictionary.search(clean))


def test_an_audit_with_everything_on(world: World) -> None:
    where = f"where = 'hospital == \"{world.mark('hospital')}\"'"
    plan, out = world.plan(world.mark("data"), FULL, where), world.out("full")
    world.run("audit", plan, "--out", out, "--gate", "--set", "gates.clean_accuracy=0.01")
    templated = ("html", "md")
    others = ("json", "latex", "svg", "png", "cyclonedx", "model-card", "text")
    for template, kinds in (("standard", (*templated, *others)), ("regulatory", templated)):
        formats = [part for kind in kinds for part in ("--format", kind)]
        world.run("report", out, *formats, "--template", template)
    nothing(world.found(out))


@pytest.mark.slow
def test_shards(world: World) -> None:
    plan, out = world.plan(world.mark("data"), FULL), world.out("shards")
    for part in ("1/2", "2/2"):
        world.run("audit", plan, "--shard", part, "--out", out)
    nothing(world.found(out))
    world.run("merge", out, plan)
    nothing(world.found(out))


def test_dicom_files(world: World) -> None:
    plan, out = world.plan(world.mark("dicoms"), QUICK), world.out("dicom")
    world.run("audit", plan, "--out", out, "--set", "report.gallery=2")
    images, files = world.out("images"), world.out("files")
    world.run("attack", plan, "--attack", "FGSM", "--out", images, "--save-dicom", files)
    nothing(world.found(out, images, files))


def test_a_detector_and_what_it_screens(world: World) -> None:
    plan, guard = world.plan(world.mark("data"), QUICK), world.out("guard")
    world.run(
        "fit-detector", plan, "--detector", "MaxSoftmax", "--false-alarms", "20%", "--out", guard
    )
    data, seen = world.mark("data"), f"{world.out('seen')}.csv"
    world.run("screen", guard, data, "--out", seen, "--allow-code")
    # The guard is asked for the classifier that it belongs to, and so names its file.
    nothing([one for one in world.found(guard) if "weights" not in one])
    names_files_alone(world, seen)
    scans, seen = world.mark("dicoms"), f"{world.out('seen_scans')}.csv"
    world.run("screen", guard, scans, "--out", seen, "--allow-code")
    text = (world.folder / seen).read_text(encoding="utf-8")
    files = [path.relative_to(world.folder) for path in (world.folder / scans).rglob("*.dcm")]
    assert files
    for name in map(str, files):
        assert name in text
        text = text.replace(name, "")
    nothing(list(world.dictionary.search(text.encode())))


def names_files_alone(world: World, table: str) -> None:
    """A table names images so that the user finds them, and says nothing else of them."""
    text = (world.folder / table).read_text(encoding="utf-8")
    for name in ("patient", "hospital", "extra", "artist", "description", "parent", "work"):
        assert f"{STEM}{name}" not in text


@pytest.mark.slow
def test_a_ranking(world: World) -> None:
    plan, table = world.plan(world.mark("data"), QUICK), f"{world.out('ranked')}.csv"
    world.run("rank", plan, world.mark("data"), "--by", "distance", "--steps", "3", "--out", table)
    names_files_alone(world, table)
    world.run("rank", plan, world.mark("dicoms"), "--by", "entropy", "--out", table)
    names_files_alone(world, table)


@pytest.mark.slow
def test_a_sweep(world: World) -> None:
    """The sweep and its page name no input; the runs below it are those of `robust audit`."""
    plan, out = world.plan(world.mark("data"), QUICK), world.out("sweep")
    sweep = f"{world.mark('sweep')}.toml"
    text = f'plan = "{plan}"\n[[axes]]\nname = "eps"\nvalues = ["2/255", "4/255"]\n'
    (world.folder / sweep).write_text(text, encoding="utf-8")
    world.run("sweep", sweep, "--out", out)
    nothing(world.found(out))


@pytest.mark.slow
def test_a_medmnist_file(world: World) -> None:
    name = f"{world.mark('npz')}.npz"
    write_npz(world.folder / name, world.mark)
    plan, out = world.plan(name, QUICK, 'group = "none"'), world.out("medmnist")
    world.run("audit", plan, "--out", out)
    nothing(world.found(out))


@pytest.mark.slow
def test_compare(world: World) -> None:
    plan = world.plan(world.mark("data"), QUICK)
    for name in ("old", "new"):
        world.run("audit", plan, "--out", world.out(name))
    for kind in ("md", "json"):
        file = f"{world.out('comparison')}.{kind}"
        world.run("compare", world.out("old"), world.out("new"), "--out", file)
        nothing(world.found(file))
    world.run("compare", world.out("old"), world.out("new"))


@pytest.mark.slow
def test_exports(world: World) -> None:
    plan, out = world.plan(world.mark("data"), QUICK), world.out("export")
    world.run("attack", plan, "--attack", "FGSM", "--out", out)
    nothing(world.found(out))


@pytest.mark.slow
def test_training(world: World) -> None:
    recipe = f"{world.mark('recipe')}.toml"
    (world.folder / recipe).write_text(
        f"# {world.mark('recipecomment')}\n"
        'title = "A card that is meant to be read"\n'
        f'[data]\npath = "{world.mark("data")}"\n'
        f"where = 'hospital == \"{world.mark('hospital')}\"'\n"
        '[network]\narchitecture = "timm:test_efficientnet"\npretrained = false\nsize = 32\n'
        "[training]\nepochs = 1\nbatch = 16\n",
        encoding="utf-8",
    )
    out = world.out("trained")
    world.run("train", recipe, "--out", out)
    nothing(world.found(out))
    audited = world.out("audited")
    world.run("audit", "--folder", out, "--data", world.mark("data"), "--out", audited)
    nothing(world.found(audited))


@pytest.mark.slow
def test_the_pytest_plugin(world: World) -> None:
    plan, out = world.plan(world.mark("data"), QUICK), world.out("plugin")
    test = world.folder / "test_network.py"
    test.write_text(
        f"def test_it(robustness):\n    assert robustness(out={out!r}).worst.robust_accuracy.low < 2\n",
        encoding="utf-8",
    )
    quiet = ("-p", "no:cacheprovider", "-q", "--robust-plan", plan)
    world.run(*quiet, test.name, module="pytest")
    nothing(world.found(out))


@pytest.mark.slow
def test_the_demonstration(world: World) -> None:
    out = world.out("demo")
    world.run("demo", "--count", "60", "--out", out)
    plan = world.folder / out / "plan.toml"  # is to be run again, and so names its own folder
    plan.unlink()
    nothing(world.found(out))


@pytest.mark.slow
def test_bench(world: World) -> None:
    plan = world.plan(world.mark("data"), QUICK)
    world.run("bench", plan, "--limit", "4", "--rounds", "1", "--steps", "2")


def test_what_was_printed(world: World) -> None:
    """By all commands above; and no temporary file is left."""
    assert world.done
    nothing(world.said())
    assert not list(world.temporary.iterdir())
    named = {
        " ".join(arguments[:1]): one
        for arguments, done in world.done.items()
        for one in world.dictionary.search(done.err.encode())
    }
    print(f"named on standard error, the user's own terminal: {named}")
