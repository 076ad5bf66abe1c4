"""Targets cases.csv, row filter, plan and recipe: what people write and pass on."""

from __future__ import annotations

import csv
import io
import json
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from attacks import ATTACKS
from detectors import DETECTORS
from robust.cases import open_cases
from robust.detection.factory import make_detectors
from robust.engine.cells import make_attacks, make_cells
from robust.plan import load_plan
from robust.training.recipe import load_recipe, make_recipe
from tests.cases.tables import TABLE
from tests.fuzz.images import check_cases
from tests.fuzz.machine import BrokenPromise, Files, Subject, promise
from tests.fuzz.mutations import mutate_bytes, mutate_tree
from tests.tasks.questions import classification

OPTIONS = "options.json"
"""Options of `open_cases`, beside the table of a mutant."""

Parse = Callable[[str], Any]
Dump = Callable[[Any], str]


def damage_text(data: bytes, rng: random.Random, parse: Parse, dump: Dump) -> bytes:
    """Other bytes, or another structure that the parser takes."""
    if rng.random() < 0.35:
        return mutate_bytes(data, rng, head=len(data))
    found = dump(mutate_tree(parse(data.decode()), rng)).encode("utf-8", "surrogatepass")
    return mutate_bytes(found, rng, head=len(found)) if rng.random() < 0.05 else found


# --- cases.csv and its filter ---

CELLS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "2",
        "0.5",
        "1e400",
        "nan",
        "NaN",
        "inf",
        "True",
        "9" * 30,
        "9" * 400,
    ),
    *(
        "a",
        "test",
        "train",
        "normal",
        "../x.png",
        "/etc/passwd",
        ".",
        "a/",
        "a\0b",
        "é",
        "\u202e",
        "x\ny",
    ),
    *(
        "2020-01-01",
        "=1+1",
        "'",
        '"',
        ",",
        "a" * 300,
        "a/Jane_Doe_1.png",
        "None",
        "<NA>",
        "1_000",
        "1,5",
    ),
)
WORDS: tuple[Any, ...] = (
    *(
        "label",
        "label_name",
        "group",
        "split",
        "site",
        "age",
        "sex",
        "file",
        "none",
        "all",
        "test",
        "",
    ),
    *("train", "val", "a" * 300, "é", "\0", "sop_instance_uid", "x", "index", "1"),
)
LABEL_OPTIONS: dict[str, tuple[Any, ...]] = {
    "label": (["label", "age"], ["site", "sex"], "label,age"),
    "file": ("{site}/{file}", "{file}", ["file", "site"], "file,file"),
    "separator": ("|", ",", "list", "o", ""),
    "positive": (["normal"], ["1"], ["-1"], ["1", "x"], "0", [""]),
    "uncertain": ("positive", "exclude"),
    "blank": ("negative", "exclude"),
    "reader": ("site",),
    "vote": ("majority", "any", "all"),
    "group_pattern": (r"(\w+)/", r"(\w)", "("),
    "blank_group": ("own",),
    "table": (["cases.csv"], ["cases.csv", "cases.csv"], "none", [OPTIONS]),
    "join": ("cases.csv", ["cases.csv", OPTIONS]),
}
SPLITS: tuple[Any, ...] = (
    *("path", "site", "split", "no", "", {}, {"test": 1.0}, {"train": 0.5, "test": 0.5}),
    *({"test": "cases.csv"}, {"test": OPTIONS, "train": "cases.csv"}, {"test": "x", "train": 0.5}),
)
FILTERS = ("age > 40", "source == 'hospital'", "site in ('north',)", "label == 1 and age < 60")


def _images() -> Files:
    found = {}
    for level, line in enumerate(TABLE.splitlines()[1:]):
        buffer = io.BytesIO()
        Image.new("L", (5, 4), level).save(buffer, "PNG")
        found[line.split(",")[0]] = buffer.getvalue()
    return found


def prepare_table(home: Path) -> Subject:
    images = _images()
    tables = (TABLE, TABLE.replace("label_name", "note").replace(",split", ",other"))
    seeds = [images | {"cases.csv": t.encode(), OPTIONS: b'{"split": "all"}'} for t in tables]

    def damage(files: Files, rng: random.Random) -> Files:
        options: dict[str, Any] = {
            "split": rng.choice(("all", "all", None, "test", rng.choice(WORDS)))
        }
        if rng.random() < 0.3:
            options["label"] = rng.choice(("label_name", rng.choice(WORDS)))
        if rng.random() < 0.4:
            options["subgroups"] = rng.choices(("age", "sex", *WORDS), k=rng.randint(0, 2))
        if rng.random() < 0.2:
            options["group"] = rng.choice(("site", "none", rng.choice(WORDS)))
        if rng.random() < 0.1:
            options["classes"] = rng.choices(WORDS, k=rng.randint(0, 3))
        if rng.random() < 0.2:
            options["where"] = rng.choice(FILTERS)
        if rng.random() < 0.3:
            options["splits"] = rng.choice(SPLITS)
            options["split_seed"] = rng.choice((0, 1, 1 << 40))
        for name, values in LABEL_OPTIONS.items():
            if rng.random() < 0.1:
                options[name] = rng.choice((*values, rng.choice(WORDS)))
        if rng.random() < 0.2:
            options |= {
                "keep_names": True,
                "findings": rng.choice((["1"], rng.choices(WORDS, k=1))),
            }
        table = files["cases.csv"]
        if rng.random() < 0.4:
            table = mutate_bytes(table, rng, head=len(table))
        else:
            table = _damage_table(table.decode(), rng).encode("utf-8", "surrogatepass")
        given = options if rng.random() < 0.6 else {"split": "all"}
        return files | {"cases.csv": table, OPTIONS: json.dumps(given).encode()}

    return Subject(seeds, damage, _use_table)


def _use_table(folder: Path) -> None:
    options = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
    cases = open_cases(folder, **options)
    promise(len(cases) > 0, "no case")
    promise(len(cases.fingerprint()) > 0, "no fingerprint")
    check_cases(cases)


def _damage_table(text: str, rng: random.Random) -> str:
    """Other cells, rows, columns, separators, quotes, encodings of line ends."""
    rows = [row.split(",") for row in text.splitlines()]
    for _ in range(rng.randint(1, 3)):
        kind, at, column = rng.randrange(8), rng.randrange(len(rows)), rng.randrange(len(rows[0]))
        if kind <= 2:
            rows[at][column % len(rows[at])] = rng.choice(CELLS)
        elif kind == 3 and len(rows) > 1:
            del rows[at]
        elif kind == 4:
            rows.insert(at, list(rng.choice(rows)))
        elif kind == 5:
            rows[0][column] = str(rng.choice(WORDS))
        elif kind == 6:
            for row in rows:
                row.insert(column, row[column % len(row)])
        else:
            rows[at] = rows[at][:column] or [""]
    if rng.random() < 0.05:
        rows = [row * 400 for row in rows]
    made = io.StringIO()
    separator = rng.choice((",", ",", ",", ",", ";", "\t"))
    csv.writer(
        made, delimiter=separator, lineterminator=rng.choice(("\n", "\n", "\r\n", "\r"))
    ).writerows(rows)
    return rng.choice(("", "", "", "\ufeff")) + made.getvalue()


COLUMNS = (
    "age",
    "site",
    "sex",
    "label",
    "source",
    "`label_name`",
    "`no`",
    "index",
    "agee",
    "label_name",
)
CONSTANTS = (
    *(
        "1",
        "0",
        "-1",
        "40",
        "1.5",
        "1e400",
        "9" * 5000,
        "'north'",
        '"hospital"',
        "''",
        "None",
        "True",
    ),
    *(
        "('north', 'south')",
        "['f']",
        "(1, 2)",
        "()",
        "[[1]]",
        "'\\x00'",
        "nan",
        "1j",
        "b'x'",
        "...",
        "'é'",
    ),
)
CODE = (
    "__import__('os').mkdir({0!r})",
    "open({0!r}, 'w')",
    "age.__class__.__base__.__subclasses__()",
    "@open({0!r}, 'w')",
    "@pd.io.common.os.mkdir({0!r})",
    "label_name.str.__class__.__init__.__globals__['__builtins__']['open']({0!r}, 'w')",
    "age.to_csv({0!r})",
    "site.to_pickle({0!r})",
    "(lambda: 1)()",
    "[x for x in (1,)]",
    "exec('1')",
    "f'{{age}}'",
    "(x := 1)",
    "age.map(print)",
    "9 ** 9 ** 9",
    "'a' * 10 ** 10",
    "1 << 10 ** 10",
    "age[0]",
    "*age",
    "sin(age) > 0",
)
"""What a filter must not run, and what would take for ever."""


def prepare_filter(home: Path) -> Subject:
    """Filters from a grammar; none makes the file that code in it would make."""
    trap = home / "trap"
    base = _images() | {"cases.csv": TABLE.encode()}
    seeds = [base | {"where.txt": text.encode()} for text in FILTERS]

    def damage(files: Files, rng: random.Random) -> Files:
        text = _expression(rng, 0, str(trap))
        if rng.random() < 0.3:
            text = mutate_bytes(text.encode(), rng, head=len(text)).decode(
                "utf-8", "surrogateescape"
            )
        return files | {"where.txt": text.encode("utf-8", "surrogateescape")}

    def use(folder: Path) -> None:
        where = (folder / "where.txt").read_bytes().decode("utf-8", "surrogateescape")
        try:
            cases = open_cases(folder, split="all", where=where)
            promise(0 < len(cases) <= 5, f"{len(cases)} cases of five")
            check_cases(cases)
        finally:
            if trap.exists():
                trap.rmdir() if trap.is_dir() else trap.unlink()
                raise BrokenPromise("the filter ran code")

    return Subject(seeds, damage, use)


def _expression(rng: random.Random, depth: int, trap: str) -> str:
    """A filter of the grammar that plans use, with pieces that are not of it."""
    kind = rng.randrange(16)
    if kind >= 12:
        return rng.choice(FILTERS)
    if depth > 4 or kind <= 4:
        operator = rng.choice(
            ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "=", "is", "+", "%", "~")
        )
        return f"{_operand(rng, trap)} {operator} {_operand(rng, trap)}"
    if kind <= 7:
        word = rng.choice((" and ", " or ", " & ", " | ", ", ", "\n", " and not ", "; "))
        return word.join(_expression(rng, depth + 1, trap) for _ in range(rng.randint(2, 3)))
    if kind == 8:
        return f"{rng.choice(('not ', '~', '-', 'not not ', '*'))}({_expression(rng, depth + 1, trap)})"
    if kind == 9:
        nest = rng.choice((1, 1, 2, 50, 2000))
        return "(" * nest + _expression(rng, depth + 1, trap) + ")" * nest
    if kind == 10:
        return "not " * rng.choice((3, 300, 5000)) + _expression(rng, depth + 1, trap)
    return _operand(rng, trap)


def _operand(rng: random.Random, trap: str) -> str:
    kind = rng.randrange(10)
    if kind <= 4:
        return rng.choice(COLUMNS)
    return rng.choice(CONSTANTS) if kind <= 8 else rng.choice(CODE).format(trap)


# --- plan and recipe ---


def plan_tables() -> list[dict[str, Any]]:
    """Plans that name most of what a plan can name."""
    model = {"factory": "tests.engine.nets:small", "channels": 1}
    small = {
        "model": model,
        "data": {"path": "phantom:chest_xray", "count": 12, "pixels": 28},
        "attacks": [{"name": "PGD", "steps": 5}, {"name": "FGSM", "eps": ["1/255"]}],
    }
    full: dict[str, Any] = {
        **small,
        "data": {
            **small["data"],
            "size": [30, 28],
            "grey": True,
            "limit": 10,
            "seed": 3,
            "split": "val",
        },
        "title": "A plan",
        "audit": {"eps": ["1/255", 0.03], "norm": "Linf", "seed": 3, "chunk": 16, "goal": "error"},
        "attacks": [{"name": name} for name in ATTACKS],
        "detectors": [{"name": name} for name in DETECTORS],
        "detection": {"reference": "train", "fit_eps": ["1/255"], "adaptive": 4, "passes": 3},
        "scenarios": {"universal": [8], "patch": [0.05], "queries": [100], "eps": "2/255"},
        "gates": {
            "clean_accuracy": 0.5,
            "robust_accuracy": {"1/255": 0.2},
            "no_flags": ["few groups"],
        },
        "report": {"gallery": 2},
    }
    return [small, full]


def prepare_plan(home: Path) -> Subject:
    def use(folder: Path) -> None:
        plan = load_plan(folder / "plan.toml")
        promise(len(plan.digest()) == 64 and bool(plan.attacks), "a plan without attacks")
        attacks = make_attacks(plan.attacks)
        make_detectors(plan.detectors)
        make_cells(plan.attacks, attacks, plan.audit, classification(2))
        if plan.data is not None:
            check_cases(open_cases(plan.data.path, **plan.data.options()))

    seeds = [{"plan.toml": tomli_w.dumps(tables).encode()} for tables in plan_tables()]
    return _toml_subject(seeds, "plan.toml", use)


def prepare_recipe(home: Path) -> Subject:
    from robust.training.recipe import FOLDER, RECIPES

    def use(folder: Path) -> None:
        recipe = load_recipe(folder / "recipe.toml")
        promise(make_recipe(recipe.to_toml()).digest() == recipe.digest(), "read back otherwise")

    full = {
        "title": "Recipe",
        "data": {"path": "phantom:dermoscopy", "count": 40},
        "splits": {"val": 0.2, "test": "none"},
        "network": {
            "architecture": "timm:test_resnet",
            "pretrained": False,
            "size": [48, 32],
            "mean": 0.5,
        },
        "training": {"epochs": 4, "lr": 1e-3, "warmup": 0.5, "schedule": "cosine"},
        "augmentation": {"flip_horizontal": 0.5, "rotation": 10},
        "adversarial": {"method": "trades", "eps": "1/255", "steps": 3},
    }
    seeds = [{"recipe.toml": tomli_w.dumps(full).encode()}]
    seeds += [{"recipe.toml": (FOLDER / f"{name}.toml").read_bytes()} for name in RECIPES]
    return _toml_subject(seeds, "recipe.toml", use)


def _toml_subject(seeds: list[Files], name: str, use: Callable[[Path], None]) -> Subject:
    def damage(files: Files, rng: random.Random) -> Files:
        return {name: damage_text(files[name], rng, tomllib.loads, dump_toml)}

    return Subject(seeds, damage, use)


def dump_toml(tree: Any) -> str:
    """TOML has no null; a value that it cannot write becomes text."""
    return tomli_w.dumps(_without_null(tree))


def _without_null(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _without_null(value) for key, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_without_null(value) for value in node if value is not None]
    return node
