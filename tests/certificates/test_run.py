"""The stage of certificates: resuming, failures, comparison with attacks, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from attacks import PGD
from attacks.streams import Streams
from robust.auditing import audit
from robust.cases import Cases, cases_from
from robust.certificates.contract import Certified
from robust.certificates.registry import CERTIFICATES
from robust.certificates.run import (
    certificate_passes,
    check_certificates,
    quarters_of_sigma,
    run_certificates,
)
from robust.certificates.smoothing import comparison
from robust.certificates.smoothing.randomized_smoothing import RandomizedSmoothing
from robust.engine.cells import make_attacks
from robust.engine.run_memory import RANDOM
from robust.engine.run_store import RunStore
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, Session, start_session
from robust.errors import InputError
from robust.models import Adapter, Classifier
from robust.plan.load import make_plan
from robust.plan.spec import CertificateSpec, Plan
from robust.records import CertifiedAccuracy, Report
from robust.tasks.classification import Classification
from robust.tasks.make import task_of
from tests.engine.nets import classifier, phantoms
from tests.toys import Linear, Then, linear_cases

SMOOTHING = {"name": "RandomizedSmoothing", "n": 200, "n0": 20, "cases": 24, "eps": [0.1, 0.3]}


def plan_of(*certificates: dict[str, Any], **audit: Any) -> Plan:
    attacks = audit.pop("attacks", [{"name": "FGSM"}])
    raw = {"attacks": attacks, "certificates": certificates, "audit": {"eps": ["8/255"], **audit}}
    return make_plan(raw, "audit")


@contextmanager
def started(plan: Plan, model: Adapter, cases: Cases, folder: Path) -> Iterator[Session]:
    inputs = RunInputs(model, cases, make_attacks(plan.attacks))
    store = RunStore(folder)
    try:
        session = start_session(plan, inputs, store, RunOptions("cpu"))
        session.runner.attack(session.cells, plan.audit.seed)
        yield session
    finally:
        store.close()


def run(
    plan: Plan, folder: Path, model: Adapter | None = None, cases: Cases | None = None
) -> tuple[CertifiedAccuracy, ...]:
    model, cases = model or classifier(), cases or phantoms(60)
    with started(plan, model, cases, folder) as session:
        check_certificates(plan.certificates, session.task, session.classifier)
        return run_certificates(plan.certificates, plan.audit, session)


# --- smoothing ---


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> CertifiedAccuracy:
    (one,) = run(plan_of(SMOOTHING), tmp_path_factory.mktemp("certificates"))
    return one


def test_a_smoothed_classifier_is_proven_and_attacked_on_the_same_cases(
    found: CertifiedAccuracy,
) -> None:
    assert found.certificate == "RandomizedSmoothing" and "n=200" in found.text
    assert (found.norm, found.function, found.alpha) == ("L2", "smoothed", 0.001)
    assert not found.deterministic and found.failed == 0
    assert found.clean.cases == 24 and found.abstained is not None
    assert found.certified[0] == found.clean
    assert [point.eps for point in found.points] == [0.1, 0.3]
    for point in found.points:
        assert point.attacked is not None
        assert 0 < point.certified.value < point.attacked.value <= found.clean.value
    first, second = found.points
    assert first.certified.value > second.certified.value
    assert first.attacked and second.attacked and first.attacked.value > second.attacked.value
    assert "SmoothAdv" in found.attack and found.compared > 6
    assert found.crossings == 0 and not found.is_contradicted
    assert found.cap is not None and 0 < found.radii[-1] <= found.cap


def test_a_run_that_is_cut_short_ends_with_the_same_result(
    found: CertifiedAccuracy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut within the second part, and again within the attack; nothing runs twice."""
    certify, attack = RandomizedSmoothing.__call__, comparison.attack_smoothed
    calls: list[str] = []
    stop = {"certify": 2, "attack": 3}

    def counted(name: str, real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            calls.append(name)
            if calls.count(name) == stop.get(name):
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    monkeypatch.setattr(RandomizedSmoothing, "__call__", counted("certify", certify))
    monkeypatch.setattr(comparison, "attack_smoothed", counted("attack", attack))
    plan = plan_of(SMOOTHING)
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path)
    assert calls == ["certify", "certify"]
    calls.clear()
    del stop["certify"]
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path)
    assert calls == ["certify", "attack", "attack", "attack"]
    calls.clear()
    stop.clear()
    assert run(plan, tmp_path) == (found,)
    assert set(calls) == {"attack"} and len(calls) == 2
    calls.clear()
    assert run(plan, tmp_path) == (found,) and not calls


def test_what_breaks_off_is_never_proven(
    found: CertifiedAccuracy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify, calls = RandomizedSmoothing.__call__, []

    def breaks_first(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a kernel is missing\nand more")
        return certify(*arguments)

    monkeypatch.setattr(RandomizedSmoothing, "__call__", breaks_first)
    (broken,) = run(plan_of(SMOOTHING), tmp_path)
    assert (broken.failed, broken.failure) == (16, "a kernel is missing")
    assert broken.certified[0].value <= 8 / 24 < found.certified[0].value
    assert all(point.attacked and point.attacked.cases == 8 for point in broken.points)


@pytest.mark.parametrize("radius", [math.inf, math.nan, -0.1])
def test_a_radius_that_is_none_is_a_failure(
    radius: float, linear: tuple[Adapter, Cases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: ExactRadius, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        return Certified(torch.zeros(len(x)).long(), torch.full((len(x),), radius))

    monkeypatch.setattr(ExactRadius, "__call__", wrong)
    (one,) = run(plan_of({"name": "ExactRadius"}), tmp_path, *linear)
    assert one.failed == 24 and "negative, NaN or infinite" in one.failure
    assert one.certified[0].value == 0 and one.compared == 0


@pytest.mark.slow
def test_memory_that_runs_out_halves_the_cases(
    found: CertifiedAccuracy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify = RandomizedSmoothing.__call__

    def small(self: RandomizedSmoothing, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        if len(x) > 5:
            raise MemoryError
        return certify(self, model, x, streams)

    monkeypatch.setattr(RandomizedSmoothing, "__call__", small)
    assert run(plan_of(SMOOTHING), tmp_path) == (found,)


def test_an_attack_that_breaks_off_is_no_sign_of_robustness(
    found: CertifiedAccuracy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*arguments: Any) -> Any:
        raise RuntimeError("no gradient")

    monkeypatch.setattr(comparison, "attack_smoothed", breaks)
    (one,) = run(plan_of(SMOOTHING), tmp_path)
    assert one.certified == found.certified and one.compared == 0
    right = round(found.clean.value * 24)
    assert one.attack.endswith(f"it broke off on {right} cases: no gradient")
    assert all(point.attacked and point.attacked.value == 0 for point in one.points)


def test_without_gradients_nothing_is_attacked(tmp_path: Path) -> None:
    model = classifier()
    model.origin = dataclasses.replace(model.origin, differentiable=False)
    (one,) = run(plan_of(SMOOTHING, attacks=[{"name": "Noise"}]), tmp_path, model)
    assert (one.attack, one.compared, one.crossings) == ("", 0, 0)
    assert all(point.attacked is None for point in one.points)


def test_eps_of_smoothing_are_quarters_of_sigma_up_to_its_cap() -> None:
    smoothing = RandomizedSmoothing(n=200)
    eps = quarters_of_sigma(smoothing)
    assert eps == tuple(0.0625 * k for k in range(1, 8))
    assert eps[-1] <= smoothing.cap < eps[-1] + 0.0625


@pytest.mark.slow
def test_the_eps_of_a_plan_that_names_none(tmp_path: Path) -> None:
    plain = {**SMOOTHING, "cases": 4}
    del plain["eps"]
    plan = plan_of(plain, {**plain, "label": "wide", "sigma": 0.5})
    narrow, wide = run(plan, tmp_path)
    assert [p.eps for p in narrow.points] == [0.0625 * k for k in range(1, 8)]
    assert [p.eps for p in wide.points] == [0.125 * k for k in range(1, 8)]
    plan = plan_of(plain, attacks=[{"name": "PGD", "norm": "L2", "eps": [0.5, 0.2], "steps": 2}])
    (named,) = run(plan, tmp_path / "other")
    assert [point.eps for point in named.points] == [0.2, 0.5]


def test_only_cases_that_the_goal_applies_to_are_certified(tmp_path: Path) -> None:
    cases = phantoms(60)
    diseased = sum(entry.label in cases.findings for entry in cases.entries)
    spec = {**SMOOTHING, "cases": 100, "n": 20, "eps": [0.1]}
    model = classifier()  # without gradients it is not attacked, which is another matter
    model.origin = dataclasses.replace(model.origin, differentiable=False)
    plan = plan_of(spec, attacks=[{"name": "Noise"}], goal="miss")
    (one,) = run(plan, tmp_path, model)
    assert one.clean.cases == diseased < 60
    healthy = phantoms(60).select([i for i, e in enumerate(cases.entries) if e.label == 0])
    assert run(plan_of(SMOOTHING, goal="miss"), tmp_path / "none", cases=healthy) == ()


def test_the_cost_is_told_beforehand() -> None:
    spec = CertificateSpec.model_validate(SMOOTHING)
    certify, attack = 220, 2 * 16 * 20 + 220
    assert certificate_passes(spec, 9) == 9 * (certify + 2 * attack)
    assert certificate_passes(spec, 1000) == 24 * (certify + 2 * attack)


def test_draws_of_the_network_itself_are_repeated(tmp_path: Path) -> None:
    """A network with random outputs is smoothed as any other, and a second run finds the same."""
    model = classifier()
    model.network = Then(model.network, lambda z: z + torch.randn_like(z))
    spec = {**SMOOTHING, "cases": 3, "n": 50, "eps": [0.1]}
    first, second = (run(plan_of(spec), tmp_path / name, model) for name in ("a", "b"))
    assert first == second and first[0].failed == 0


# --- bounds of the network ---


@dataclass(frozen=True)
class ExactRadius:
    """The true radius of a linear model without a box, times `share`."""

    function: ClassVar[Literal["network", "smoothed"]] = "network"
    alpha: ClassVar[float | None] = None
    cap: ClassVar[float | None] = None
    passes: ClassVar[int] = 1

    norm: str = "L2"
    share: float = 1.0

    def check(self, model: Adapter) -> None:
        if not isinstance(model.network, Linear):
            raise InputError("ExactRadius reads linear networks alone")

    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        weight = model.network.weight
        assert isinstance(weight, Tensor)
        margin = model(x)[:, 1]
        length = weight.abs().sum() if self.norm == "Linf" else weight.norm()
        return Certified((margin > 0).long(), (self.share * margin.abs() / length).double())


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> tuple[Adapter, Cases]:
    monkeypatch.setitem(CERTIFICATES, "ExactRadius", ExactRadius)
    model, x, y = linear_cases("free", n=24)
    model = Linear(model.weight.detach().float(), model.bias.detach().float())
    return Classifier(model, head="softmax", channels=1), cases_from((x.float(), y))


ATTACKS = [
    {"name": "PGD", "norm": "L2", "eps": [0.05, 0.2]},
    {"name": "FMN", "norm": "L2", "steps": 100},
    {"name": "PGD", "norm": "Linf", "eps": [0.004], "label": "other norm"},
]


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_bounds_stand_beside_the_attacks_of_the_audit_in_their_norm(
    linear: tuple[Adapter, Cases], norm: str, tmp_path: Path
) -> None:
    exact = {"name": "ExactRadius", "norm": norm}
    plan = plan_of(exact, {**exact, "share": 3.0, "label": "false"}, attacks=ATTACKS)
    true, false = run(plan, tmp_path, *linear)
    assert true.function == "network" and true.deterministic and true.abstained is None
    assert true.attack == ("PGD, FMN" if norm == "L2" else "other norm")
    assert [p.eps for p in true.points] == ([0.05, 0.2] if norm == "L2" else [0.004])
    assert true.clean.value == 1 and true.failed == 0
    assert true.compared == 24 if norm == "L2" else 0 < true.compared < 24
    assert true.crossings == 0 == true.allowed
    for point in true.points:  # the attacks are strong: nothing is left between
        assert point.attacked is not None and point.crossings == 0
        assert point.certified.value == pytest.approx(point.attacked.value, abs=1.5 / 24)
    assert false.crossings > 0 == false.allowed and false.is_contradicted
    assert any(point.crossings for point in false.points)


def test_random_outputs_have_no_bound(linear: tuple[Adapter, Cases], tmp_path: Path) -> None:
    plan = plan_of({"name": "ExactRadius"}, attacks=ATTACKS)
    with started(plan, *linear, tmp_path) as session:
        session.store.put(RANDOM, True)
        (one,) = run_certificates(plan.certificates, plan.audit, session)
    assert one.failed == 24 and "outputs of the network are random" in one.failure
    assert one.certified[0].value == 0 and one.clean.value == 1


# --- what is refused ---


def refused(plan: Plan, model: Adapter, task: Any = None) -> str:
    with pytest.raises(InputError) as caught:
        check_certificates(plan.certificates, task or task_of(plan, phantoms(4)), model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_certified_is_refused_before_any_work(
    linear: tuple[Adapter, Cases],
) -> None:
    plan = plan_of(SMOOTHING)
    check_certificates((), object(), object())  # type: ignore[arg-type]
    assert "unknown certificate 'Nothing'" in refused(plan_of({"name": "Nothing"}), classifier())
    assert "two certificates" in refused(plan_of(SMOOTHING, SMOOTHING), classifier())
    bound = plan_of({"name": "ExactRadius"})
    assert "reads linear networks alone" in refused(bound, classifier())
    one = Classification("error", (), None, ("lung",))
    assert "need two classes" in refused(plan, classifier(), one)
    none = Classification("error", (), None, ())
    assert "outlines structures" in refused(plan, classifier(), none)
    model = classifier()
    counter: Any = object()
    model.origin = dataclasses.replace(model.origin, queries=counter)
    assert "a black box answers each for a query" in refused(plan, model)


# --- an audit ---


def test_an_audit_holds_what_the_stage_found(tmp_path: Path) -> None:
    """Its report is the same after loading and when the finished run is opened again."""

    def audited() -> Report:
        smoothing = RandomizedSmoothing(n=50, n0=10)
        return audit(
            classifier(),
            phantoms(20),
            attacks=[PGD(steps=2)],
            norm="L2",
            eps=[0.2],
            certificates=[smoothing],
            doubts={"probe": False},
            device="cpu",
            gallery=0,
            out=tmp_path / "run",
        )

    report = audited()
    (one,) = report.certificates
    assert [point.eps for point in one.points] == [0.2] and one.clean.cases == 20
    assert one.text == "RandomizedSmoothing(sigma=0.25, n0=10, n=50, alpha=0.001, batch=None)"
    assert report.missing_stages == ()
    assert Report.load(tmp_path / "run" / "report.json").certificates == report.certificates
    assert audited().certificates == report.certificates
