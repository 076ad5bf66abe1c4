"""Workers of a run: how many attacked, on what, and whether another one finds the same again."""

from __future__ import annotations

from dataclasses import dataclass

from robust.units import at_eps


@dataclass(frozen=True)
class CellAgain:
    """One attack at one eps on the cases that two workers attacked."""

    attack: str
    """Name of the attack; `clean` for predictions without attack."""
    norm: str
    """Norm of the attack size; empty without attack."""
    eps: float | None
    """Attack size; None: without bound."""
    compared: int
    """Number of cases."""
    differing: int
    """Cases of which any number differs, in whatever digit."""
    verdicts: int
    """Cases that one worker found misread and the other one not, or that failed on one alone."""
    distance: float
    """Largest difference of the distances to the clean image."""
    logits: float
    """Largest difference of the logits, or of the Dice of a case."""

    @property
    def name(self) -> str:
        """`PGD at 2/255`."""
        return at_eps(self.attack, self.norm, self.eps) if self.norm else "clean predictions"


@dataclass(frozen=True)
class ComputedAgain:
    """Chunks that were computed again on another worker, to see whether it finds the same."""

    chunks: int
    """How many chunks, of all."""
    processors: tuple[str, ...]
    """The processors that computed them, the first time or again."""
    cells: tuple[CellAgain, ...]
    """Clean predictions first, then every attack and eps."""

    @property
    def compared(self) -> int:
        """Outcomes that were compared: cases times attacks and eps."""
        return sum(cell.compared for cell in self.cells)

    @property
    def differing(self) -> int:
        """Outcomes of which any number differs."""
        return sum(cell.differing for cell in self.cells)

    @property
    def verdicts(self) -> int:
        """Outcomes whose verdict differs."""
        return sum(cell.verdicts for cell in self.cells)


@dataclass(frozen=True)
class Workers:
    """The workers that attacked the cases of a run."""

    count: int
    """How many worked at once, in the last call."""
    engine: str
    """What started them: `processes` or `ray`."""
    threads: int
    """Threads of each."""
    processors: tuple[str, ...]
    """What they computed on."""
    chunks: int
    """Number of chunks that the cases are cut into."""
    replaced: int = 0
    """How many ended before their work was done, and were replaced."""
    again: ComputedAgain | None = None
    """What was computed twice; None where there was one worker."""
