"""RuntimeRollouts as an operator leaves them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
NOW = "2026-11-29T12:00:00Z"
WAVES = ("canary", "mail", "rest")


def wave(name: str, states: str, **fields: Any) -> Object:
    """A wave's status, counted from the letters of its members."""
    counted = {
        "pending": "P",
        "moving": "MCG",
        "updated": "U",
        "failed": "FGVX",
        "skipped": "BNE",
        "dropped": "D",
        "rolledBack": "RV",
    }
    counts = {key: sum(map(states.count, letters)) for key, letters in counted.items()}
    return {"name": name, "members": len(states), **counts, **fields}


def conditions(ready: str, reason: str, message: str, **others: str) -> list[Object]:
    said = {"Ready": ready, "Degraded": "False", "Stalled": "False", **others}
    return [
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW}
        for kind, status in said.items()
    ]


def rollout(
    phase: str = "Progressing",
    states: tuple[str, ...] = ("UU", "UMMFPP", "PPPP"),
    current: str = "mail",
    *,
    approvals: frozenset[str] = frozenset(),
    **fields: Any,
) -> Object:
    """A RuntimeRollout of three waves; `fields` are of its status."""
    spec_waves = [
        {"name": name, "selector": {"matchLabels": {"wave": name}}, "approval": name in approvals}
        for name in WAVES[:-1]
    ] + [{"name": "rest", "rest": True, "approval": "rest" in approvals}]
    done = WAVES[: WAVES.index(current)]
    waves = [
        wave(name, letters, **({"completedAt": NOW} if name in done else {}))
        for name, letters in zip(WAVES, states, strict=True)
    ]
    letters = "".join(states)
    status = {
        "observedGeneration": 1,
        "phase": phase,
        "wave": current,
        "progress": f"{letters.count('U')}/{len(letters)}",
        "waves": waves,
        "states": letters,
        "conditions": conditions("False", phase, "2 members move."),
        **fields,
    }
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve", "generation": 1},
        "spec": {"target": {"runtime": "onnx", "image": "registry.example/runtime:2"}, "waves": spec_waves},
        "status": status,
    }
