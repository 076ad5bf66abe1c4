"""Tables and pages of README and site that are written from the classes, so that none goes stale.

`python docs/generate.py --write` fills the marked places of README.md, `--check` tells whether
they are as the classes say. The site fills its own when it is built (`docs/hooks.py`).
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from attacks import ATTACKS  # noqa: E402
from detectors import DETECTORS  # noqa: E402
from docs.dependencies import dependencies  # noqa: E402
from robust.certificates.registry import CERTIFICATES  # noqa: E402
from robust.corruptions.medmnist_c.tables import NOTES as SEVERITY_NOTES  # noqa: E402
from robust.corruptions.medmnist_c.tables import SEVERITY_TABLES  # noqa: E402
from robust.corruptions.registry import CORRUPTIONS  # noqa: E402
from robust.plan.spec import Plan  # noqa: E402
from robust.plan.toml_schema import field_docs  # noqa: E402
from robust.records.flags import FLAG_TEXTS  # noqa: E402
from robust.report.text.classification import RULE  # noqa: E402
from robust.report.text.glossary import TERMS  # noqa: E402
from robust.units import eps_text, norm_text, parse_eps  # noqa: E402

COMMAND = "python docs/generate.py --write"
KNOWLEDGE = {
    "none": "nothing",
    "gradients": "gradients",
    "scores": "scores (logits)",
    "labels": "predicted labels",
    "gradients and scores": "gradients, scores",
}
"""What an attack needs to know, by its attribute `knowledge`."""
NOTES = ROOT / "docs" / "notes"
"""Hand-written additions to generated pages: formulas, and when to use an attack or a detector."""
_ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{4,5})\b")


# What classes say of themselves.


def first_line(kind: type[Any]) -> str:
    """The first line of the file that defines it: idea and paper, arXiv numbers as links."""
    doc = sys.modules[kind.__module__].__doc__ or ""
    return _linked(" ".join(doc.strip().split("\n\n")[0].split()))


def description(kind: type[Any]) -> str:
    """The class's own docstring as Markdown."""
    return _linked(inspect.cleandoc(kind.__doc__ or ""))


def _linked(text: str) -> str:
    return _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _cell(text: object) -> str:
    """Text in a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


# Attacks.


def knowledge(kind: type[Any]) -> str:
    """What an attack needs to know, in words."""
    words = KNOWLEDGE[kind.knowledge]
    return f"{words}, detector" if is_adaptive(kind) else words


def is_adaptive(kind: type[Any]) -> bool:
    """Whether an attack is one of those that take a detector."""
    return kind.__module__.startswith("attacks.adaptive.")


def segmentation(kind: type[Any]) -> str:
    """Whether an attack works on outlines, in words."""
    traits = kind().traits
    return "outlines alone" if traits.dense_only else "also outlines" if traits.dense else "no"


def attack_names() -> list[str]:
    """Weak to strong: those that work within eps, minimum-norm attacks, adaptive ones."""
    order = {name: place for place, name in enumerate(READING_ORDER)}

    def rank(name: str) -> tuple[bool, bool, int, str]:
        kind = ATTACKS[name]
        return is_adaptive(kind), kind.minimum_norm, order.get(name, len(order)), name

    return sorted(ATTACKS, key=rank)


READING_ORDER = (
    *("Noise", "FGSM", "BIM", "PGD", "MarginPGD", "SegPGD", "CosPGD", "APGD", "Square"),
    *("CheapestPixels", "SEA", "AutoAttack"),
)
"""From simple to strong; an attack that is not named here stands behind these."""


def attack_table(page: str | None = None) -> str:
    """Every attack in a row; with `page` (`{}.md`) the names are links."""
    rows: list[tuple[object, ...]] = []
    for name in attack_names():
        kind = ATTACKS[name]
        rows.append(
            (
                f"[`{name}`]({page.format(slug(name))})" if page else f"`{name}`",
                "nearest" if kind.minimum_norm else "within eps",
                knowledge(kind),
                ", ".join(norm_text(norm) for norm in kind.norms),
                segmentation(kind),
                first_line(kind).removesuffix("."),
            )
        )
    foolbox = "any attack of [foolbox](https://github.com/bethgelab/foolbox), projected and checked"
    rows.append(("`foolbox:NAME`", "either", "depends", "L∞, L2", "no", foolbox))
    columns = ("name", "finds", "needs to know", "norms", "segmentation", "idea and paper")
    return table(columns, rows)


def attack_page(name: str) -> str:
    """The page of one attack."""
    kind = ATTACKS[name]
    facts = [
        ("finds", "the nearest image" if kind.minimum_norm else "an image within eps"),
        ("needs to know", knowledge(kind)),
        ("norms", ", ".join(norm_text(norm) for norm in kind.norms)),
        ("segmentation", segmentation(kind)),
        ("passes", f"at most {kind().passes:,} forward passes a case with the defaults"),
        ("source", f"`{kind.__module__.replace('.', '/')}.py`"),
    ]
    return _page(name, kind, facts, "attacks", "attacks")


# Detectors.


def detector_names() -> list[str]:
    """Detectors that need no training first."""
    return sorted(DETECTORS, key=lambda name: (DETECTORS[name].has_head, name))


def learns(kind: type[Any]) -> str:
    """What a detector learns from attacked images."""
    if kind.needs_head:
        return "everything"
    return "a logistic head" if kind.has_head else "nothing"


def detector_table(page: str | None = None) -> str:
    """Every detector in a row; with `page` (`{}.md`) the names are links."""
    rows: list[tuple[object, ...]] = [
        (
            f"[`{name}`]({page.format(slug(name))})" if page else f"`{name}`",
            learns(kind := DETECTORS[name]),
            "yes" if kind.differentiable else "no",
            first_line(kind).removesuffix("."),
        )
        for name in detector_names()
    ]
    return table(("name", "learns from attacked images", "gradient", "idea and paper"), rows)


def detector_page(name: str) -> str:
    """The page of one detector."""
    kind = DETECTORS[name]
    way = "directly, by its gradient" if kind.differentiable else "through a surrogate detector"
    facts = [
        ("learns from attacked images", learns(kind)),
        ("adaptive attacks reach it", way),
        ("source", f"`{kind.__module__.replace('.', '/')}.py`"),
    ]
    return _page(name, kind, facts, "detectors", "detectors")


def slug(name: str) -> str:
    """File name of a page: `MarginPGD` is at `margin-pgd`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _page(
    name: str, kind: type[Any], facts: list[tuple[str, str]], group: str, package: str
) -> str:
    note = NOTES / group / f"{name}.md"
    parts = [
        f"# {name}",
        first_line(kind),
        "\n".join(f"- **{key}**: {value}" for key, value in facts),
        "## How it works",
        description(kind),
        note.read_text(encoding="utf-8") if note.is_file() else "",
        "## Parameters",
        parameters(kind) or "None.",
        "## In a plan and in Python",
        f"```toml\n[[{group}]]\n{_toml(name, kind)}\n```",
        f"```python\nfrom {package} import {name}\n\n{group[:-1]} = {_call(name, kind)}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def own_fields(kind: type[Any]) -> list[dataclasses.Field[Any]]:
    """What a plan may set: all but values of the run and switches of the engine."""
    inherited = {"learned", "head"}
    return [f for f in dataclasses.fields(kind) if f.init and f.repr and f.name not in inherited]


def parameters(kind: type[Any]) -> str:
    """Name, type, default and meaning of each parameter; nothing where there is none."""
    docs = field_docs(kind)
    rows: list[tuple[object, ...]] = [
        (f"`{f.name}`", _kind_text(f.type), f"`{_value(f.default)}`", _linked(docs.get(f.name, "")))
        for f in own_fields(kind)
    ]
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _kind_text(annotation: Any) -> str:
    """A dataclass's annotation, which is text, in words."""
    text = str(annotation)
    for name, word in {"str": "text", "int": "whole number", "float": "number"}.items():
        text = re.sub(rf"\b{name}\b", word, text)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda m: m[1].replace(",", " or"), text)
    return text.replace("bool", "true or false").replace("| None", "or left out").replace("|", "or")


def _example(kind: type[Any]) -> dataclasses.Field[Any] | None:
    return next((f for f in own_fields(kind) if f.default is not None), None)


def _toml(name: str, kind: type[Any]) -> str:
    field = _example(kind)
    line = f"\n{field.name} = {_value(field.default)}" if field else ""
    return f'name = "{name}"{line}'


def _call(name: str, kind: type[Any]) -> str:
    field = _example(kind)
    return f"{name}({field.name}={field.default!r})" if field else f"{name}()"


def certificate_reference() -> str:
    """Every certificate: idea and paper, what it proves, its fields."""
    parts = []
    for name, kind in CERTIFICATES.items():
        about = (first_line(kind), description(kind), parameters(kind))
        parts.append("\n\n".join([f"### {name}", *filter(None, about)]))
    return "\n\n".join(parts)


# The plan.


def plan_reference() -> str:
    """Every table of a plan: its fields with type, default and meaning."""
    parts = []
    top: list[tuple[object, ...]] = []
    for name, field in Plan.model_fields.items():
        section = table_of(field)
        if section is None:
            top.append(_field_row(Plan, name, field))
            continue
        head = f"[[{name}]]" if _is_many(field) else f"[{name}]"
        about = re.sub(r"^`\[+\w+\]+`: (.)", lambda m: m[1].upper(), description(section))
        parts.append(f"### `{head}` {{ #{name} }}\n\n{about}")
        rows = [_field_row(section, key, one) for key, one in section.model_fields.items()]
        parts.append(table(("field", "type", "default", "meaning"), rows))
    first = table(("field", "type", "default", "meaning"), top)
    return "\n\n".join([f"### Top level\n\n{first}", *parts])


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field of the plan holds, or holds many of."""
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _is_many(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _field_row(section: type[BaseModel], name: str, field: FieldInfo) -> tuple[object, ...]:
    value = field.get_default(call_default_factory=True)
    default = "required" if field.is_required() else _default(name, value)
    words = _type_text(field.annotation, field.metadata)
    return f"`{name}`", words, default, _linked(field_docs(section).get(name, ""))


def _default(name: str, value: Any) -> str:
    if value is None or value == ():
        return ""
    if name == "eps" and isinstance(value, tuple):
        return f"`[{', '.join(chr(34) + eps_text(v) + chr(34) for v in value)}]`"
    return f"`{_value(value)}`"


def _value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "none" if value is None else str(value)


_BOUNDS: tuple[tuple[type[Any], str, str], ...] = (
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Le, "le", "at most"),
    (annotated_types.Lt, "lt", "below"),
)


def _type_text(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """An annotation in words: `number, above 0, below 1`."""
    bounds = [
        f"{word} {getattr(one, attribute):,}"
        for one in metadata
        for kind, attribute, word in _BOUNDS
        if isinstance(one, kind)
    ]
    return ", ".join([_type_words(annotation, metadata), *bounds])


def _type_words(annotation: Any, metadata: list[Any] | tuple[Any, ...]) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if any(getattr(one, "func", None) is parse_eps for one in metadata):
        return "eps"
    if origin is Annotated:
        return _type_text(inside[0], inside[1:])
    if origin is Literal:
        return " or ".join(f"`{_value(value)}`" for value in inside)
    if origin in (Union, types.UnionType):
        parts = [_type_words(one, metadata) for one in inside if one is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin is tuple:
        many = len(inside) == 2 and inside[1] is Ellipsis
        return f"list of {_type_text(inside[0])}" if many else f"{len(inside)} numbers"
    if origin is dict:
        return f"table of {_type_text(inside[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    if annotation is JsonValue:
        return "anything"
    words = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return words[annotation]


# The warnings.


def warnings_reference() -> str:
    """Every warning that a report may show: when it is raised, why, what to do, what it voids."""
    return "\n\n".join(
        f"### {name}\n\n"
        f"**Raised if** {text.raised_if}.\n\n"
        f"**Why it matters**: {text.why}.\n\n"
        f"**What to do**: {text.remedy}."
        + (f"\n\n**Withheld**: {text.void_text}." if text.void_text else "")
        for name, text in FLAG_TEXTS.items()
    )


def counted_doubts() -> str:
    """How often doubts about masked gradients were raised on models made for this count."""
    file = ROOT / "experiments" / "doubts" / "results" / "doubts.csv"
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))[1:]
    shown: list[tuple[object, ...]] = []
    for name, *counts in rows:
        pairs = [counts[i : i + 2] for i in (0, 2, 4)]
        shown.append((name, *(f"{a} of {b}" if int(b) else "none" for a, b in pairs)))
    header = ("warning", "sound models (false alarms)", "masks that it names", "other masks")
    return table(header, shown)


def glossary() -> str:
    """The terms that a report explains."""
    return table(("term", "meaning"), [(f"**{term}**", text) for term, text in TERMS.values()])


# Corruptions.


def corruption_table() -> str:
    """Every kind in a row."""
    rows: list[tuple[object, ...]] = []
    for name, definitions in CORRUPTIONS.items():
        one = definitions[0]
        traits = ("yes" if one.random else "no", "yes" if one.differentiable else "no")
        rows.append((f"`{name}`", one.family, *traits, first_line(type(one)).removesuffix(".")))
    return table(("name", "family", "random", "gradient", "idea and paper"), rows)


def severity_table() -> str:
    """What MedMNIST-C defines: a row for each kind and all data sets with the same severities."""
    sets: dict[tuple[str, tuple[Any, ...]], list[str]] = {}
    notes: dict[tuple[str, tuple[Any, ...]], list[str]] = {}
    for data_set, kinds in SEVERITY_TABLES.items():
        for kind, levels in kinds.items():
            sets.setdefault((kind, levels), []).append(data_set.removesuffix("mnist"))
            note = SEVERITY_NOTES.get((data_set, kind))
            notes.setdefault((kind, levels), []).extend([note] if note else [])
    rows: list[tuple[object, ...]] = []
    for name in CORRUPTIONS:
        for (kind, levels), own in sets.items():
            if kind == name:
                said = "; ".join(dict.fromkeys(notes[kind, levels]))
                rows.append((f"`{kind}`", ", ".join(own), *map(_level, levels), said))
    return table(("name", "data sets", "1", "2", "3", "4", "5", "note"), rows)


def _level(parameter: Any) -> str:
    parts = parameter if isinstance(parameter, tuple) else (parameter,)
    return ", ".join(f"{part:g}" for part in parts)


# What robust is built on.


def licences() -> str:
    """Every dependency of the project and its extras, direct or not, with bound and licence."""
    return table(
        ("package", "needed by", "bound", "licence"),
        [(one.name, one.needed_by, one.bound, one.licence) for one in dependencies()],
    )


# Where it is written.

BLOCKS: Mapping[str, Callable[[], str]] = {
    "attacks": attack_table,
    "detectors": detector_table,
    "attack pages": lambda: attack_table("{}.md"),
    "detector pages": lambda: detector_table("{}.md"),
    "certificates": certificate_reference,
    "plan": plan_reference,
    "warnings": warnings_reference,
    "counted doubts": counted_doubts,
    "verdict rule": lambda: RULE,
    "glossary": glossary,
    "corruptions": corruption_table,
    "MedMNIST severities": severity_table,
    "licences": licences,
}
"""What stands between `<!-- NAME: generated -->` and `<!-- end -->`, by name."""
_MARKED = re.compile(r"(<!-- ([\w ]+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The text with every marked place written anew; KeyError for a name that is not known."""
    return _MARKED.sub(lambda m: f"{m[1]}{BLOCKS[m[2]]()}\n{m[3]}", text)


def main() -> int:
    """The command: exit code 1 where README.md is stale and is not to be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write README.md anew")
    parser.add_argument("--check", action="store_true", help="exit 1 where README.md is stale")
    wanted = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if (fresh := filled(text)) == text:
        return 0
    if wanted.write:
        readme.write_text(fresh, encoding="utf-8")
        return 0
    print(f"README.md is stale: run `{COMMAND}`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
