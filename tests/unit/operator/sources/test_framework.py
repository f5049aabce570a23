"""kopf starts wherever a pod may run."""

from __future__ import annotations

import asyncio
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import aiohttp

from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES
from modelservice_operator.sources.framework import KopfFlags, run_kopf, watcher_names

if TYPE_CHECKING:
    import pytest

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.client.kubeapi import ApiClient


@dataclass
class UnreachableApi:
    """An API server that is not there: starting needs no answer from it."""

    server: str = "http://127.0.0.1:1"

    def new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()


async def test_run_kopf_user_without_a_name_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and OpenShift run us as a number that no /etc/passwd knows."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    flags = KopfFlags(started=asyncio.Event(), stop=asyncio.Event())
    kopf_run = asyncio.create_task(
        run_kopf(
            cast("ApiClient", UnreachableApi()),
            cast("Ingest", None),
            flags,
            scopes=("mail", "shop"),
            kinds=(MODEL_SERVICES,),
        )
    )
    started = asyncio.create_task(flags.started.wait())
    done, _ = await asyncio.wait({kopf_run, started}, timeout=120, return_when=asyncio.FIRST_COMPLETED)
    assert started in done, kopf_run.exception()
    flags.stop.set()
    await asyncio.wait_for(kopf_run, timeout=120)


def test_watcher_names_each_namespace_has_a_watcher_and_the_cluster_one() -> None:
    assert watcher_names(("mail", "shop"), (MODEL_RUNTIMES, MODEL_SERVICES)) == (
        "watcher for modelruntimes.v1alpha1.modelservice.dev@None",
        "watcher for modelservices.v1alpha1.modelservice.dev@mail",
        "watcher for modelservices.v1alpha1.modelservice.dev@shop",
    )
