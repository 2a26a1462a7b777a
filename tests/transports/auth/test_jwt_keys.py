"""The files that keys for JWT are read from (P6.1)."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.errors import ConfigurationError
from app.transports.auth.jwt_keys import read_keys
from tests.callers import SECRET, ec_key, jwk, jwks, pem, rsa_key

PATH = Path("keys")


def private(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def secret(text: str, **more: Any) -> dict[str, Any]:
    return {"kty": "oct", "k": base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), **more}


def test_every_key_has_its_one_algorithm():
    found = read_keys(PATH, pem(rsa_key(), ec_key()))
    assert [(key.kid, key.algorithm) for key in found] == [(None, "RS256"), (None, "ES256")]
    found = read_keys(PATH, jwks(jwk(rsa_key(), kid="r"), jwk(ec_key(), kid="e"), secret(SECRET, kid="s")))
    assert [(key.kid, key.algorithm) for key in found] == [("r", "RS256"), ("e", "ES256"), ("s", "HS256")]


def test_keys_for_other_uses_and_algorithms_are_passed_over():
    others = [
        jwk(rsa_key(), kid="enc", use="enc"),
        jwk(rsa_key(), kid="ps", alg="PS256"),
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "okp"},
        {"kty": "something new", "kid": "new"},
    ]
    assert [key.kid for key in read_keys(PATH, jwks(*others, jwk(ec_key(), kid="ours")))] == ["ours"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1 to 64 keys"),
        ("no keys here", "1 to 64 keys"),
        ('{"keys": []}', "1 to 64 keys"),
        (jwks(jwk(rsa_key(), use="enc")), "1 to 64 keys"),
        ("{", "no JWK set"),
        ("{}", "no JWK set"),
        ('{"keys": 3}', "no JWK set"),
        ('{"keys": [3]}', "no JWK set"),
        ("{" + "[" * 100_000, "no JWK set"),
        (private(rsa_key()), "key 1 is a PRIVATE KEY"),
        (pem(ec_key()) + private(ec_key()), "key 2 is a PRIVATE KEY"),
        (jwks(jwk(rsa_key(), d="AQAB")), "key 1 is a private key"),
        (jwks(jwk(rsa_key(), kid=7)), "kid that is no string"),
        (jwks(jwk(rsa_key(), kid="a"), jwk(ec_key(), kid="a")), "the same kid"),
        (jwks({"kty": "RSA", "n": "AQAB"}), "key 1 can't be read"),
        (jwks(jwk(ec_key(), x="AQAB")), "key 1 can't be read"),
        (jwks(secret("short")), "too short a secret"),
        (pem(rsa_key(bits=1024)), "too short an RSA key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "another curve"),
        (jwks(jwk(ec.generate_private_key(ec.SECP384R1()), alg="ES256")), "another curve"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "no algorithm"),
        (pem(rsa_key()).replace("A", "%"), "key 1 can't be read"),
    ],
    ids=range(22),
)
def test_a_file_that_is_not_fit_is_refused_with_the_reason(text: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        read_keys(PATH, text)


def test_a_secret_that_is_refused_is_not_shown():
    with pytest.raises(ConfigurationError) as refused:
        read_keys(PATH, jwks(secret("short-secret")))
    assert secret("short-secret")["k"] not in str(refused.value)
