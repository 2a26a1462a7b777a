"""JSON web tokens (P6.1): whose they are, and everything that makes one nobody's."""

import base64
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.jwt_tokens import JwtTokens
from tests.callers import SECRET, ec_key, jwk, jwks, pem, rsa_key, token

OTHER = "another HS256 secret, which is as long as it has to be"


def refusal(tokens: JwtTokens, shown: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        tokens.principal(shown)
    return str(refused.value)


def keys_in(path: Path, text: str) -> JwtTokens:
    path.write_text(text)
    return JwtTokens(None, path)


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_the_subject_is_the_principal():
    assert JwtTokens(SECRET, None).principal(token(sub="auth0|5f7c")) == "auth0|5f7c"


PAIRS = {"RS256": (rsa_key(), rsa_key("other")), "ES256": (ec_key(), ec_key("other"))}


@pytest.mark.parametrize("algorithm", PAIRS)
def test_public_keys_check_what_private_ones_signed(tmp_path: Path, algorithm: str):
    key, other = PAIRS[algorithm]
    for text in (pem(key), jwks(jwk(key)), jwks(jwk(key, kid="k", use="sig", alg=algorithm))):
        tokens = keys_in(tmp_path / "keys", text)
        assert tokens.principal(token(key, algorithm, headers={"kid": "k"})) == "ada"
        assert refusal(tokens, token(other, algorithm, headers={"kid": "k"})) == "the token is not valid"


def test_a_secret_may_stand_in_a_jwk_set(tmp_path: Path):
    secret = {"kty": "oct", "kid": "2026", "k": segment(SECRET.encode())}
    assert keys_in(tmp_path / "keys", jwks(secret)).principal(token(headers={"kid": "2026"})) == "ada"


def at_this_moment(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims, with times for what is given as so long from now."""
    now = int(time.time())
    return {k: now + int(v.total_seconds()) if isinstance(v, timedelta) else v for k, v in claims.items()}


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": timedelta(seconds=-60)}, "the token has expired"),
        ({"exp": timedelta(seconds=-7)}, "the token has expired"),
        ({"exp": 0}, "the token has expired"),
        ({"nbf": timedelta(seconds=60)}, "the token is not valid yet"),
        ({"iat": timedelta(seconds=60)}, "the token is not valid yet"),
        ({"exp": None}, "the token lacks exp, sub, or another claim that is asked for"),
        ({"sub": None}, "the token lacks exp, sub, or another claim that is asked for"),
        ({"aud": "somebody-else"}, "the token is for another audience"),
        ({"sub": ""}, "the token is not valid"),
        ({"sub": "two words"}, "the token is not valid"),
        ({"sub": "x" * 256}, "the token is not valid"),
        ({"sub": "ada\n"}, "the token is not valid"),
        ({"sub": "аda"}, "the token is not valid"),  # noqa: RUF001 - a Cyrillic a, which is the point
        ({"exp": "soon"}, "the token is not valid"),
        ({"exp": float("inf")}, "the token is not valid"),
        ({"exp": [9_999_999_999]}, "the token is not valid"),
    ],
    ids=range(16),
)
def test_a_claim_that_is_wrong_makes_it_nobodys(claims: dict[str, Any], said: str):
    assert refusal(JwtTokens(SECRET, None), token(**at_this_moment(claims))) == said


def test_a_subject_that_is_no_string_is_nobody():
    for sub in (7, ["ada"], {"ada": 1}, True):
        head, body = segment({"alg": "HS256"}), segment({"sub": sub, "exp": time.time() + 60})
        signature = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), SECRET.encode())
        assert refusal(JwtTokens(SECRET, None), f"{head}.{body}.{segment(signature)}") == "the token is not valid"


def test_clocks_may_differ_by_a_little():
    now = int(time.time())
    assert JwtTokens(SECRET, None).principal(token(exp=now - 2, nbf=now + 3)) == "ada"


def test_audience_and_issuer_are_checked_where_they_are_set():
    tokens = JwtTokens(SECRET, None, audience="runcast", issuer="https://id.example")
    good = {"aud": ["other", "runcast"], "iss": "https://id.example"}
    assert tokens.principal(token(**good)) == "ada"
    assert refusal(tokens, token(**good | {"aud": "other"})) == "the token is for another audience"
    assert refusal(tokens, token(**good | {"iss": "https://id.example/"})) == "the token is from another issuer"
    assert refusal(tokens, token(iss="https://id.example")) != refusal(tokens, "x.y.z")
    assert refusal(tokens, token(aud="runcast")) == "the token lacks exp, sub, or another claim that is asked for"


def test_no_signature_is_no_token():
    claims = {"sub": "ada", "exp": time.time() + 60}
    for algorithm in ("none", "None", "NONE", "nOnE"):
        unsigned = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(claims)}."
        assert refusal(JwtTokens(SECRET, None), unsigned) == "the token is not valid"


def test_a_public_key_is_no_secret(tmp_path: Path):
    """The confusion of algorithms: a token signed by HMAC with the text of the public key."""
    tokens = keys_in(tmp_path / "keys", pem(rsa_key()))
    hmac = jwt.get_algorithm_by_name("HS256")
    for text in (pem(rsa_key()), pem(rsa_key()).strip()):
        for algorithm in ("HS256", "RS256"):
            head, body = segment({"alg": algorithm}), segment({"sub": "ada", "exp": time.time() + 60})
            signature = hmac.sign(f"{head}.{body}".encode(), text.encode())
            assert refusal(tokens, f"{head}.{body}.{segment(signature)}") == "the token is not valid"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_secret_is_used_with_its_own_algorithm_alone(algorithm: str):
    assert refusal(JwtTokens(SECRET * 2, None), token(SECRET * 2, algorithm)) == "the token is not valid"


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_a_public_key_is_used_with_its_own_algorithm_alone(tmp_path: Path, algorithm: str):
    tokens = keys_in(tmp_path / "keys", pem(rsa_key()))
    assert refusal(tokens, token(rsa_key(), algorithm)) == "the token is not valid"


def test_extensions_that_must_be_understood_are_not():
    shown = token(headers={"crit": ["exp"], "exp": 1})
    assert refusal(JwtTokens(SECRET, None), shown) == "the token is not valid"


NO_TOKENS = [
    "",
    ".",
    "..",
    "a.b.c",
    "a.b",
    "a.b.c.d",
    token()[:-1],
    token() + "A",
    token().replace(".", "", 1),
    f"{segment(b'[' * 4000)}.e30.e30",
    f"{segment(b'9' * 5000)}.e30.e30",
    f"{segment([])}.e30.e30",
    f"{segment({'alg': ['HS256']})}.e30.e30",
    f"{segment({'alg': 'HS256', 'kid': 7})}.e30.e30",
]


@pytest.mark.parametrize("shown", NO_TOKENS, ids=range(len(NO_TOKENS)))
def test_what_is_no_token_is_refused_as_one_that_is_not_valid(shown: str):
    assert refusal(JwtTokens(SECRET, None), shown) == "the token is not valid"


@given(st.text(alphabet="abcXYZ019-_.=+/~", max_size=300))
def test_no_text_makes_it_fail(shown: str):
    assert refusal(JwtTokens(SECRET, None), shown) == "the token is not valid"


WORDS = st.text("HRE256none-kid", max_size=8)
VALUES = st.none() | WORDS | st.integers() | st.lists(WORDS) | st.booleans()


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "b64", "crit", "jwk", "x5u"]), VALUES))
def test_no_header_makes_it_fail(header: dict[str, Any]):
    shown = f"{segment(header)}.{segment({'sub': 'ada', 'exp': time.time() + 60})}.{segment(b'x' * 32)}"
    assert refusal(JwtTokens(SECRET, None), shown) == "the token is not valid"


def test_of_several_keys_the_kid_says_which(tmp_path: Path):
    old, new = rsa_key("old"), ec_key("new")
    tokens = keys_in(tmp_path / "keys", jwks(jwk(old, kid="old"), jwk(new, kid="new")))
    assert tokens.principal(token(old, "RS256", headers={"kid": "old"})) == "ada"
    assert tokens.principal(token(new, "ES256", headers={"kid": "new"})) == "ada"
    for headers in ({"kid": "new"}, {"kid": "other"}, None):
        assert refusal(tokens, token(old, "RS256", headers=headers)) == "the token is not valid"


def test_keys_without_a_kid_are_all_tried(tmp_path: Path):
    keys = [rsa_key("old"), rsa_key("new"), ec_key()]
    tokens = keys_in(tmp_path / "keys", pem(*keys))
    for key, algorithm in zip(keys, ("RS256", "RS256", "ES256"), strict=True):
        assert tokens.principal(token(key, algorithm)) == "ada"
        assert tokens.principal(token(key, algorithm, headers={"kid": "whatever"})) == "ada"
    assert refusal(tokens, token(rsa_key("third"), "RS256")) == "the token is not valid"


def test_a_secret_and_a_file_serve_side_by_side(tmp_path: Path):
    (tmp_path / "keys").write_text(jwks(jwk(rsa_key(), kid="k")))
    tokens = JwtTokens(SECRET, tmp_path / "keys")
    assert tokens.principal(token()) == "ada"
    assert tokens.principal(token(rsa_key(), "RS256", headers={"kid": "k"})) == "ada"
    assert refusal(tokens, token(OTHER)) == "the token is not valid"


def test_keys_are_rotated_by_the_file(tmp_path: Path):
    tokens = keys_in(tmp_path / "keys", jwks(jwk(rsa_key("old"), kid="old")))
    [file] = tokens.files
    old = token(rsa_key("old"), "RS256", headers={"kid": "old"})
    new = token(ec_key("new"), "ES256", headers={"kid": "new"})
    assert refusal(tokens, new)
    (tmp_path / "keys").write_text(jwks(jwk(rsa_key("old"), kid="old"), jwk(ec_key("new"), kid="new")))
    file.look()
    assert tokens.principal(old) == tokens.principal(new) == "ada"
    (tmp_path / "keys").write_text(jwks(jwk(ec_key("new"), kid="new")))
    file.look()
    assert tokens.principal(new) == "ada"
    assert refusal(tokens, old) == "the token is not valid"


def test_without_any_key_nobody_could_come_in():
    with pytest.raises(ConfigurationError, match="RUNCAST_JWT_SECRET"):
        JwtTokens(None, None)
