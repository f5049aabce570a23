"""API keys at rest, and the memory of what was verified."""

import hashlib

import pytest
from tests.unit.runtime.auth.signed_tokens import sign

from modelservice_runtime.auth import authenticator as authenticator_module
from modelservice_runtime.auth.api_keys import ApiKeys, api_key_line, new_api_key, parse_api_keys
from modelservice_runtime.auth.authenticator import MAX_CREDENTIAL_BYTES, MAX_VERIFIED, Authenticator
from modelservice_runtime.auth.caller import Caller, Verified
from modelservice_runtime.errors import InvalidSettingsError, UnauthenticatedError

KEY = "ms_" + "k" * 43  # not a random one: the names of the tests below hold it
KEYS = parse_api_keys(api_key_line("alice", KEY))


def test_key_line_holds_the_hash_and_not_the_key() -> None:
    line = api_key_line("alice", KEY)
    assert line == f"alice:sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
    assert len(KEY) >= 43
    assert new_api_key() != new_api_key()


def test_accept_takes_known_keys_and_no_others() -> None:
    keys = parse_api_keys(f"# ours\n\n{api_key_line('a', KEY)}\r\n{api_key_line('b', 'other')}\n")
    assert [keys.find(key) for key in (KEY.encode(), b"other", b"", KEY[:-1].encode(), b"a")] == [
        "a", "b", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (KEY, "line 1 .* NAME:sha256:HEX"),
        (f"alice:{KEY}", "line 1"),
        (f"alice:md5:{'0' * 32}", "line 1"),
        (f"alice:sha256:{'0' * 63}", "line 1"),
        (f"a b:sha256:{'0' * 64}", "line 1"),
        (f"a:sha256:{'0' * 64}\na:sha256:{'1' * 64}", "line 2 .* again"),
    ],
)
def test_parse_of_a_bad_file_names_the_line_and_never_its_content(text: str, part: str) -> None:
    with pytest.raises(InvalidSettingsError, match=part) as caught:
        parse_api_keys(text)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a:b", "../x", "a\nb", "x" * 65])
def test_key_line_of_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettingsError, match="name"):
        api_key_line(name, KEY)


class Tokens:
    """Accepts every token until a set time, and counts."""

    def __init__(self, expires: float) -> None:
        self.expires = expires
        self.calls = 0

    def verify(self, token: bytes) -> Verified:
        self.calls += 1
        return Verified(Caller(token_subject="alice"), self.expires)


def make_authenticator(now: list[float], keys: ApiKeys = KEYS) -> Authenticator:
    made = Authenticator(clock=lambda: now[0])
    made.use_api_keys(keys)
    return made


def test_check_accepts_both_headers_in_any_case() -> None:
    checked = make_authenticator([0.0])
    checked.check(b"Bearer " + KEY.encode(), None)
    checked.check(b"bearer  " + KEY.encode() + b" ", None)
    assert checked.check(None, KEY.encode()) == Caller(api_key="alice")
    assert checked.check(b"Basic for the proxy", KEY.encode()) == Caller(api_key="alice")


@pytest.mark.parametrize(
    ("authorization", "api_key", "part"),
    [
        (None, None, "needs a key"),
        (b"Basic YTpi", None, "Bearer KEY"),
        (b"Bearer", None, "not valid"),
        (b"Bearer " + KEY.encode() + b", Bearer x", None, "not valid"),
        (KEY.encode(), None, "Bearer KEY"),
        (None, b"", "not valid"),
        (b"Bearer " + KEY.encode(), b"wrong", "not valid"),
        (None, b"alice", "not valid"),
        (None, hashlib.sha256(KEY.encode()).hexdigest().encode(), "not valid"),
        (None, b"\xff\x00", "not valid"),
        (None, b"x" * (MAX_CREDENTIAL_BYTES + 1), "longer than"),
        (b"Bearer a.b.c", None, "not valid"),
    ],
)
def test_check_of_anything_else_is_refused(
    authorization: bytes | None, api_key: bytes | None, part: str
) -> None:
    with pytest.raises(UnauthenticatedError, match=part) as caught:
        make_authenticator([0.0]).check(authorization, api_key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("authorization", "api_key"), [(None, b""), (b"Bearer ", None), (b"Bearer", None)])
def test_check_takes_no_empty_key_although_a_file_has_its_hash(
    authorization: bytes | None, api_key: bytes | None
) -> None:
    keys = parse_api_keys(f"a:sha256:{hashlib.sha256(b'').hexdigest()}")
    with pytest.raises(UnauthenticatedError, match="empty"):
        make_authenticator([0.0], keys).check(authorization, api_key)


def test_check_remembers_a_token_until_it_expires() -> None:
    now = [1000.0]
    checked, tokens = make_authenticator(now), Tokens(expires=1010.0)
    checked.use_tokens(tokens)
    for _ in range(3):
        assert checked.check(b"Bearer a.b.c", None) == Caller(token_subject="alice")
    assert tokens.calls == 1
    now[0] = 1010.0
    checked.check(b"Bearer a.b.c", None)
    assert tokens.calls == 2


def test_check_forgets_what_was_verified_with_old_keys() -> None:
    checked = make_authenticator([0.0])
    checked.check(None, KEY.encode())
    checked.use_api_keys(parse_api_keys(api_key_line("alice", new_api_key())))
    with pytest.raises(UnauthenticatedError):
        checked.check(None, KEY.encode())
    tokens = Tokens(expires=10.0)
    for calls in (1, 2):
        checked.use_tokens(tokens)
        checked.check(b"Bearer a.b.c", None)
        assert tokens.calls == calls


def test_check_remembers_a_bounded_number_and_nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator_module, "MAX_VERIFIED", 3)
    checked = make_authenticator([0.0])
    checked.use_tokens(Tokens(expires=10.0))
    for number in range(10):
        checked.check(b"Bearer %d.b.c" % number, None)
        with pytest.raises(UnauthenticatedError):
            checked.check(b"Bearer %d" % number, None)
    assert len(checked._verified) == 3
    assert MAX_VERIFIED >= 1000


def test_key_in_the_form_of_a_token_is_looked_up_first() -> None:
    token = sign()
    checked = make_authenticator([0.0], parse_api_keys(api_key_line("odd", token.decode())))
    checked.check(b"Bearer " + token, None)
