"""The evaluation that a rollout waits for: what was measured before, or the Job that measures it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.evaluation.identity import evaluation_hash, identify
from modelservice_operator.decide.resources.evaluation.job import JobInputs, build_evaluation_job
from modelservice_operator.decide.rollout.steps import EVALUATION_FAILED, EVALUATION_INCONCLUSIVE
from modelservice_operator.facts.scored import Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.api import Evaluation
    from modelservice_operator.decide.change.wish import Wish
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.resources.evaluation.identity import Identity
    from modelservice_operator.decide.rollout.model import Plan


class Evaluating(msgspec.Struct, frozen=True, kw_only=True):
    """The evaluation of the target."""

    wanted: Evaluation
    identity: Identity
    retries: int
    known: Score | None = None
    """What was measured already."""
    job: dict[str, Any] | None = None
    """What measures it, where that is not known."""

    @property
    def job_name(self) -> str | None:
        """The Job's name."""
        return str(self.job["metadata"]["name"]) if self.job else None


def find_evaluating(facts: Facts, wish: Wish, step: Plan) -> Evaluating | None:
    """Return the evaluation that the plan waits for, None where it waits for none."""
    wanted, candidate = wish.rollout.evaluation, wish.target
    if not step.evaluates or wanted is None or candidate is None or step.progress is None:
        return None
    stable = facts.history.revision(step.stable)
    identity = identify(wanted, candidate, stable)
    retries = step.progress.evaluation_retries
    known = find_score(facts.status, identity, retries)
    job = None
    if known is None:
        beside = None if identity.is_same_model else stable
        job = build_evaluation_job(
            JobInputs(
                owner=facts.owner, evaluation=wanted, candidate=candidate, stable=beside, retries=retries
            )
        )
    return Evaluating(wanted=wanted, identity=identity, retries=retries, known=known, job=job)


def find_score(status: Mapping[str, Any], identity: Identity, retries: int) -> Score | None:
    """Return what an equal evaluation measured, as `status.evaluations` keeps it.

    Where both models are the same one, what was measured of it beside any other will do.
    """
    for entry in reversed(status.get("evaluations") or ()):
        if (entry.get("retries") or 0) < retries:
            continue
        score = _read(entry)
        if score is None:
            continue
        if identity.is_same_model and entry.get("candidate") == identity.candidate:
            return score.beside_itself()
        if entry.get("key") == identity.key:
            return score
    return None


def write_score(evaluating: Evaluating, score: Score, time: str) -> dict[str, Any]:
    """Return an entry of `status.evaluations`; numbers in full, so that they are judged the same again."""
    entry = {
        "key": evaluating.identity.key,
        "candidate": evaluating.identity.candidate,
        "retries": evaluating.retries or None,
        "metric": evaluating.wanted.metric,
        **msgspec.to_builtins(score),
        "time": time,
    }
    for name in ("value", "stable", "bound"):
        if name in entry:
            entry[name] = repr(float(entry[name]))
    return {name: value for name, value in entry.items() if value is not None}


def is_asked_anew(facts: Facts, wish: Wish, target: str) -> bool:
    """Whether an evaluation stopped the target, and is another one by now: that tries it again."""
    known = facts.status.get("rollout") or {}
    is_stopped = known.get("reason") in (EVALUATION_FAILED, EVALUATION_INCONCLUSIVE)
    if wish.spec is None or not is_stopped or known.get("revision") != target:
        return False
    return bool((known.get("evaluationHash") or "") != evaluation_hash(wish.rollout.evaluation))


def _read(entry: Mapping[str, Any]) -> Score | None:
    """An entry of a status; None for one that somebody spoiled."""
    try:
        return msgspec.convert(dict(entry), Score, strict=False)
    except msgspec.ValidationError:
        return None
