"""A line of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One measured ratio; `at_most` tells which side of the target is good.

    Nothing measured is a line too, with the reason.
    """

    what: str
    precision: str
    measured: float | None
    target: float | None = None
    at_most: bool = False
    reason: str = ""

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        target = "-" if self.target is None else f"{sign} {self.target:g}"
        measured = "-" if self.measured is None else f"{self.measured:.2f}"
        return f"| {self.what} | {self.precision} | {target} | {measured} | {self._verdict()} |"

    def _verdict(self) -> str:
        if self.measured is None or self.target is None:
            return self.reason
        good = self.measured <= self.target if self.at_most else self.measured >= self.target
        return "yes" if good else "**no**"
