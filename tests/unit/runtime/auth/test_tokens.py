"""Tokens: alg none, RS/HS swap, wrong audience or issuer, expired, kid traversal; faults of the key set."""

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm
from tests.unit.runtime.auth import signed_tokens
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS, assemble, jwks, make_claims, public_jwk, sign

from modelservice_runtime.auth.caller import Caller, Verified
from modelservice_runtime.auth.tokens import LEEWAY_SECONDS, TokenVerifier, parse_jwks
from modelservice_runtime.errors import InvalidSettingsError, PermissionDeniedError, UnauthenticatedError
from modelservice_runtime.settings.security import JwtSettings


def make_verifier(keys: bytes = ALL_KEYS, *scopes: str) -> TokenVerifier:
    settings = JwtSettings(Path("unused"), signed_tokens.ISSUER, signed_tokens.AUDIENCE, scopes)
    return TokenVerifier(parse_jwks(keys), settings)


VERIFIER = make_verifier()
PUBLIC_PEM = signed_tokens.RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def forge_with_public_key_as_secret() -> bytes:
    """The RS/HS swap: HMAC with the public key, which the attacker has."""
    unsigned = assemble({"alg": "HS256", "kid": "RS256"}, make_claims()).rpartition(b".")[0]
    return (
        unsigned
        + b"."
        + assemble(b"", b"", hmac.digest(PUBLIC_PEM, unsigned, hashlib.sha256)).rpartition(b".")[2]
    )


@pytest.mark.parametrize("algorithm", signed_tokens.PRIVATE_KEYS)
def test_verify_of_a_good_token_returns_when_it_ends(algorithm: str) -> None:
    ends = int(time.time()) + 100
    verified = VERIFIER.verify(sign(algorithm, exp=ends, sub="alice"))
    assert verified == Verified(Caller(token_subject="alice"), ends + LEEWAY_SECONDS)


@pytest.mark.parametrize(
    ("claims", "subject"),
    [({"sub": "a", "client_id": "b"}, "a"), ({"client_id": "b"}, "b"), ({"azp": "c"}, "c"), ({}, "")],
)
def test_verify_names_whose_token_it_is(claims: dict[str, str], subject: str) -> None:
    assert VERIFIER.verify(sign(**{"sub": None, **claims})).caller.token_subject == subject


def test_verify_accepts_one_of_several_audiences_and_small_clock_differences() -> None:
    now = int(time.time())
    VERIFIER.verify(sign(aud=["other", signed_tokens.AUDIENCE]))
    VERIFIER.verify(sign(exp=now - 5, nbf=now + 5))


FORGED: dict[str, bytes] = {
    "alg none": assemble({"alg": "none", "kid": "RS256"}, make_claims(), b""),
    "alg None": assemble({"alg": "None"}, make_claims(), b""),
    "no alg": assemble({"kid": "RS256"}, make_claims()),
    "alg no string": assemble({"alg": ["RS256"], "kid": "RS256"}, make_claims()),
    "public key as HMAC secret": forge_with_public_key_as_secret(),
    "another's key": sign(key=signed_tokens.OTHER_RSA_KEY),
    "key of another algorithm": sign("ES256", headers={"kid": "RS256"}),
    "other digest than the key's": sign(headers={"kid": "RS256", "alg": "RS512"}),
    "kid that is a path": sign(headers={"kid": "../../../../dev/null"}),
    "kid that is a query": sign(headers={"kid": "x' UNION SELECT 'key"}),
    "kid no string": assemble({"alg": "RS256", "kid": 1}, make_claims()),
    "own key in the header": assemble(
        {"alg": "RS256", "jwk": public_jwk("RS256"), "jku": "http://evil.example/jwks"}, make_claims()
    ),
    "unknown critical header": sign(headers={"kid": "RS256", "crit": ["exp"], "exp": 1}),
    "unencoded payload": sign(headers={"kid": "RS256", "crit": ["b64"], "b64": False}),
    "altered payload": sign(sub="admin").rpartition(b".")[0] + b"." + sign().rpartition(b".")[2],
    "no signature": sign().rpartition(b".")[0] + b".",
    "header no object": assemble(b"[]", make_claims()),
    "nested too deeply": assemble(b"[" * 3000, b"[" * 3000),
    "not base64": b"\xff.\xff.\xff",
    "empty": b"..",
    "expired": sign(exp=int(time.time()) - LEEWAY_SECONDS - 2),
    "not yet valid": sign(nbf=int(time.time()) + signed_tokens.DAY_SECONDS),
    "no expiry": sign(exp=None),
    "infinite expiry": sign(exp=float("inf")),
    "expiry beyond all numbers": sign(exp=10**400),
    "expiry no number": sign(exp={}),
    "wrong audience": sign(aud="other"),
    "no audience": sign(aud=None),
    "audience within a longer one": sign(aud=signed_tokens.AUDIENCE + ".evil"),
    "wrong issuer": sign(iss="https://evil.example"),
    "no issuer": sign(iss=None),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_verify_of_a_bad_token_is_refused(name: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        VERIFIER.verify(FORGED[name])
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "part"),
    [("expired", "has expired"), ("wrong audience", "another audience"), ("wrong issuer", "another issuer")],
)
def test_verify_says_what_is_wrong_with_a_signed_token(name: str, part: str) -> None:
    with pytest.raises(UnauthenticatedError, match=part):
        VERIFIER.verify(FORGED[name])


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_verify_of_any_parts_is_refused(header: bytes, payload: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        VERIFIER.verify(assemble(header, payload))


def test_verify_without_a_key_id_needs_a_single_key_of_the_algorithm() -> None:
    token = sign(headers={})
    make_verifier(jwks(public_jwk("RS256"), public_jwk("ES256"))).verify(token)
    other = json.loads(RSAAlgorithm.to_jwk(signed_tokens.OTHER_RSA_KEY.public_key()))
    with pytest.raises(UnauthenticatedError, match="does not know"):
        make_verifier(jwks(public_jwk("RS256"), other)).verify(token)


@pytest.mark.parametrize("claims", [{"scope": "read infer"}, {"scp": "infer"}, {"scp": ["infer", "read"]}])
def test_verify_accepts_the_scope_in_every_usual_form(claims: dict[str, Any]) -> None:
    make_verifier(ALL_KEYS, "infer").verify(sign(**claims))


@pytest.mark.parametrize("claims", [{}, {"scope": "inference"}, {"scope": 1}, {"scope": {"infer": True}}])
def test_verify_without_the_scope_is_denied(claims: dict[str, Any]) -> None:
    with pytest.raises(PermissionDeniedError, match="scope 'infer'"):
        make_verifier(ALL_KEYS, "infer").verify(sign(**claims))


def test_verify_needs_every_scope() -> None:
    verifier = make_verifier(ALL_KEYS, "infer", "write")
    verifier.verify(sign(scope="write read infer"))
    for scopes, missing in (("infer", "write"), ("write", "infer"), ("infer write-all", "write")):
        with pytest.raises(PermissionDeniedError, match=f"scope '{missing}'"):
            verifier.verify(sign(scope=scopes))


def test_parse_jwks_passes_over_keys_for_other_purposes() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s"}
    keys = parse_jwks(
        jwks(public_jwk("RS256", use="enc"), secret, {"kty": "new"}, public_jwk("ES256", use="sig"))
    )
    assert list(keys.keys) == [("ES256", "ES256")]


@pytest.mark.parametrize(
    "content", [jwks(), jwks({"kty": "oct", "k": "c2VjcmV0"}), jwks(public_jwk("RS256", alg="HS256"))]
)
def test_parse_jwks_without_a_key_for_signatures_accepts_no_token(content: bytes) -> None:
    with pytest.raises(UnauthenticatedError, match="does not know"):
        make_verifier(content).verify(sign())


@pytest.mark.parametrize("member", ["kty", "kid", "alg", "crv", "n", "e", "x", "y"])
@pytest.mark.parametrize("value", [["ES256"], {}, 7, True])
def test_parse_jwks_passes_over_an_entry_that_is_no_key(member: str, value: object) -> None:
    content = jwks(public_jwk("RS256"), {**public_jwk("ES256"), member: value})
    assert list(parse_jwks(content).keys) == [("RS256", "RS256")]


def weak_key() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    jwk: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return jwk


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"<html>", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "array 'keys'"),
        (jwks(public_jwk("RS256"), public_jwk("RS256")), "two keys"),
        (jwks(json.loads(RSAAlgorithm.to_jwk(signed_tokens.RSA_KEY))), "private key"),
        (jwks(weak_key()), "weak key"),
    ],
)
def test_parse_jwks_of_an_unusable_set_is_one_sentence(content: bytes, part: str) -> None:
    with pytest.raises(InvalidSettingsError, match=part):
        parse_jwks(content)
