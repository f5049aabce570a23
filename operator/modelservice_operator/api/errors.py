"""What a refused manifest looks like: every bad path at once, as one sentence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad field: its path as a user writes it (`spec.model.sha256`) and what was expected there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidSpec(ValueError):  # noqa: N818  the field's word; it is shown to users as a condition
    """A manifest that breaks the API's rules. `str()` lists every problem in one sentence."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
