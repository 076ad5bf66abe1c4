"""The walk through folders: its order, links, and nothing unreadable left out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from robust.cases import open_cases
from robust.cases.walk import file_size, is_folder, is_there, walk_files
from robust.errors import InputError
from tests.cases.tables import write_images
from tests.warm import Warm

needs_links = pytest.mark.skipif(os.name != "posix", reason="links need rights on this system")


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk_files(root)]


def test_the_order_is_that_of_the_parts_of_a_path(tmp_path: Path) -> None:
    for name in ("a/z.png", "a-b/c", "a.png", "B/x", "b/x/y/z", "b/x.png", ".h/i", "b/empty/"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_bytes(b"")
    found = names(tmp_path)
    assert found == ["B/x", "a/z.png", "a-b/c", "a.png", "b/x/y/z", "b/x.png"], "none hidden"
    every = [p for p in tmp_path.rglob("*") if p.is_file() and ".h" not in p.parts]
    assert found == [
        p.relative_to(tmp_path).as_posix() for p in sorted(every, key=lambda p: p.parts)
    ]


@needs_links
def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_images(tmp_path, "outside/3.png", "root/x/1.png", "root/y/deep/2.png")
    (root / "x" / "linked").symlink_to(tmp_path / "outside")
    (root / "y" / "deep" / "up").symlink_to("..")
    (root / "y" / "deep" / "root").symlink_to(root)
    (root / "y" / "deep" / "above").symlink_to(tmp_path.parent)
    (tmp_path / "outside" / "circle").symlink_to(tmp_path / "outside")
    (root / "y" / "gone.png").symlink_to("nowhere")
    found = ["x/1.png", "x/linked/3.png", "y/deep/2.png", "y/gone.png"]
    assert names(root) == found
    cases = open_cases(root, group="none", keep_names=True)
    assert [e.id for e in cases.entries] == found
    with pytest.raises(InputError, match=r"gone\.png"):
        cases[3]
    (root / "y" / "self").symlink_to("self")
    with pytest.raises(InputError, match=r"self cannot be read: its links lead in a circle"):
        names(root)


@needs_links
@pytest.mark.parametrize("target", ["outside", "root/x/sub"])
def test_images_that_two_classes_link_are_refused(tmp_path: Path, target: str) -> None:
    """One of the two labels is wrong; and neither may lose images in silence."""
    root = tmp_path / "root"
    write_images(tmp_path, "outside/3.png", "root/x/sub/1.png", "root/y/2.png")
    (root / "x" / "linked").symlink_to(tmp_path / "outside")
    (root / "y" / "again").symlink_to(tmp_path / target)
    assert len(names(root)) == 3, "a walk without classes reads them once"
    with pytest.raises(InputError, match=r"y/again and .*root/x/\w+ are the same folder"):
        open_cases(root, group="none")


@needs_links
def test_linked_classes_and_splits(tmp_path: Path) -> None:
    write_images(tmp_path, "real/a/1.png", "real/b/2.png")
    (tmp_path / "set").mkdir()
    for name in ("train", "test"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "real")
    test = open_cases(tmp_path / "set", group="none")
    assert len(test) == 2
    assert len(open_cases(tmp_path / "set", split="train", group="none")) == 2


def test_a_deep_tree_is_walked(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    (deep / "a.png").write_bytes(b"")
    assert len(names(tmp_path)) == 1


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, "x/p1/1.png", "x/p2/2.png", "y/3.png")
    whole = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "p1":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"p1 cannot be read: permission denied; ask for access"):
        open_cases(tmp_path, group="none")


def test_a_folder_that_vanishes_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "x/1.png", "y/2.png")
    walk = walk_files(tmp_path)
    assert next(walk).name == "1.png"
    (tmp_path / "y" / "2.png").unlink()
    (tmp_path / "y").rmdir()
    with pytest.raises(InputError, match=r"y cannot be read: there is no such file or folder"):
        next(walk)


def test_what_a_path_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    assert (file_size(tmp_path / "a"), is_folder(tmp_path / "a")) == (3, False)
    assert (file_size(tmp_path), is_folder(tmp_path), is_there(tmp_path)) == (None, True, True)
    for absent in (tmp_path / "b", tmp_path / "a" / "b"):
        assert file_size(absent) is None and not is_folder(absent) and not is_there(absent)
    for odd, said in ((tmp_path / ("x" * 5000), "too long"), (tmp_path / "a\0b", "null")):
        for ask in (file_size, is_folder, is_there):
            with pytest.raises(InputError, match=said):
                ask(odd)


READ_AS_ANOTHER = '''
import json, os, sys
from pathlib import Path
from robust.cases import open_cases
from robust.cases.index.unlabelled import open_unlabelled
from robust.errors import InputError

def said(work):
    try:
        return f"read {len(work())}"
    except InputError as error:
        return str(error)

everything = {
    "folder": lambda: open_cases("folders", group="none"),
    "class": lambda: open_cases("closed_class", group="none"),
    "file": lambda: open_cases("unknown", group="none"),
    "table": lambda: open_cases("table"),
    "image": lambda: open_cases("images")[0].image,
    "image folder": lambda: open_cases("tables"),
    "root": lambda: open_cases("root", group="none"),
    "uid": lambda: open_cases("uid"),
    "split": lambda: open_cases("split", group="none"),
    "screen": lambda: open_unlabelled(["folders"]),
}
for work in everything.values():
    said(work)  # modules that are imported late
for closed in json.loads(sys.argv[1]):
    os.chmod(closed, 0)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps({name: said(work) for name, work in everything.items()}))
'''  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="no permissions of this kind")
def test_what_may_not_be_read_is_never_left_out(tmp_path: Path, commands: Warm) -> None:
    """As a user without rights: an account may read all but what is closed."""
    tmp_path.chmod(0o755)
    for name in ("folders", "closed_class", "unknown", "root"):
        write_images(tmp_path / name, "a/p1/1.png", "a/p2/2.png", "b/p3/3.png")
    write_images(
        tmp_path / "split", "train/a/1.png", "train/b/2.png", "test/a/1.png", "test/b/2.png"
    )
    (tmp_path / "unknown" / "a" / "p1" / "IM001").write_bytes(bytes(128) + b"DICM")
    for name, file in (("table", "1.png"), ("images", "1.png"), ("tables", "x/1")):
        write_images(tmp_path / name, "1.png", "2.png", "x/1.png")
        (tmp_path / name / "cases.csv").write_text(f"file,label,group\n{file},0,1\n2.png,1,2\n")
    write_images(tmp_path / "uid", "below/1.png")
    (tmp_path / "uid" / "cases.csv").write_text("sop_instance_uid,label,group\n1.2.3,0,1\n")
    closed = [
        *("folders/a/p1", "closed_class/b", "unknown/a/p1/IM001", "table/cases.csv"),
        *("images/1.png", "tables/x", "root", "uid/below", "split/train"),
    ]
    (tmp_path / "read_as_another.py").write_text(READ_AS_ANOTHER, encoding="utf-8")
    done = commands.run(tmp_path, json.dumps(closed), module="read_as_another")
    for path in closed:
        (tmp_path / path).chmod(0o755)
    assert done.code == 0, done.err
    said = json.loads(done.out)
    for name, path in zip(
        ["folder", "class", "file", "table", "image", "image folder", "root", "uid", "split"],
        closed,
        strict=True,
    ):
        assert path in said[name] and "ermission denied" in said[name], (name, said[name])
    assert "folders/a/p1 cannot be read" in said["screen"]
