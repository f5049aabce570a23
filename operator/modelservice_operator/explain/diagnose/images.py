"""What to do about an image that cannot be pulled or that cannot run. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelservice_operator.explain.diagnose.cause import Cause
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.explain.diagnose.cause import Situation

_BACK_OFF = re.compile(r"^Back-off pulling image \"[^\"]*\"(?:: \w+: ?)?")
_RPC = re.compile(r"rpc error: code = \w+ desc = ")
_ARCHITECTURE = (
    "build it for that one too (docker buildx build --platform), or choose nodes by "
    "spec.scheduling.nodeSelector, such as kubernetes.io/arch: amd64"
)
_REMEDIES = (
    # The first sign that is found counts: an unauthorised answer may say "not found" as well.
    (
        ("no match for platform", "no matching manifest", "does not match the specified platform"),
        f"it is not made for this node's CPU architecture: {_ARCHITECTURE}",
    ),
    (
        ("toomanyrequests", "429"),
        "the registry limits pulls: give it a login in spec.imagePullSecrets, or use a mirror",
    ),
    (
        ("unauthorized", "401", "403", "denied", "authorization failed", "no basic auth credentials"),
        "give a Secret with a login to the registry in spec.imagePullSecrets, or {correct}",
    ),
    (("x509", "certificate"), "the nodes do not trust the registry's certificate: give it to them"),
    (
        ("no such host", "connection refused", "i/o timeout", "dial tcp", "timeout", "server gave HTTP"),
        "the nodes do not reach the registry: check its name and the network, or {correct}",
    ),
    (("no space left",), "the node's disk is full: free space on it"),
)
_OTHER = "{correct}; a private registry needs spec.imagePullSecrets"


def not_pulled(image: str, message: str, situation: Situation) -> Cause:
    """Return the cause for an image that the kubelet cannot get; `message` is the kubelet's sentence."""
    said = redact(_RPC.sub("", _BACK_OFF.sub("", message)))
    remedy = next((remedy for signs, remedy in _REMEDIES if any(sign in message for sign in signs)), _OTHER)
    what = f"Image {image} cannot be pulled{f' ({said})' if said else ''}"
    sentence = f"{what}: {remedy.replace('{correct}', situation.correct_image)}."
    return Cause(reason="ImagePullFailed", message=sentence)


def wrong_architecture(image: str, node: str) -> Cause:
    """Return the cause for a program that the node's CPU cannot run."""
    where = f" of node {node}" if node else ""
    return Cause(
        reason="WrongArchitecture",
        message=f"Image {image} is not for the CPU architecture{where} (exec format error): {_ARCHITECTURE}.",
    )


def cannot_start(image: str, message: str, situation: Situation) -> Cause:
    """Return the cause for a container whose program does not even start."""
    if "executable file not found" in message or "no such file or directory" in message:
        remedy = f"the image is no runtime of models: {situation.correct_image}"
    else:
        remedy = f"look at the node, or {situation.correct_image}"
    return Cause(reason="StartFailed", message=f"Image {image} cannot start, {remedy}. {message}")


def too_old(image: str, unknown: Sequence[str], situation: Situation) -> Cause:
    """Return the cause for a runtime that does not know fields, which the operator handed on."""
    fields = ", ".join(unknown)
    return Cause(
        reason="InvalidSettings",
        message=(
            f"Image {image} does not know {fields}: it is older than the operator. Leave that out, or "
            f"{situation.correct_image}."
        ),
    )
