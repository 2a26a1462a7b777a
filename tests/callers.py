"""Callers that a server tells apart, and the server that does."""

import json
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.transports.auth.keys import NewKey, mint
from tests.gateway import Gateway, Launch

ADA: NewKey = mint("ada")
BOB: NewKey = mint("bob")
SECRET = "an HS256 secret that is long enough to be one"


def shows(token: str) -> dict[str, str]:
    """The header of a caller."""
    return {"authorization": f"Bearer {token}"}


def keyed(launch: Launch, **settings: str) -> Gateway:
    """A server that knows Ada and Bob by their keys."""
    return launch(**{"auth": "keys", "api_keys": f"{ADA.entry},{BOB.entry}", **settings})


def token(key: Any = SECRET, algorithm: str = "HS256", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A JWT of Ada's that is good for an hour, save for what the claims say; one that is None is left out."""
    said = {"sub": "ada", "exp": int(time.time()) + 3600, **claims}
    return jwt.encode({k: v for k, v in said.items() if v is not None}, key, algorithm, headers=headers)


@cache
def rsa_key(name: str = "", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One RSA key for each name."""
    del name
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "") -> ec.EllipticCurvePrivateKey:
    """One P-256 key for each name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def pem(*keys: Any) -> str:
    """The public halves, one after the other."""
    public = (key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys)
    return b"".join(public).decode()


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    """The public half as a JSON web key."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), **more}


def jwks(*members: dict[str, Any]) -> str:
    return json.dumps({"keys": members})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server that the tests of a file share, and that knows Ada and Bob by their keys."""
    gateway = Gateway(tmp_path_factory.mktemp("guarded"), auth="keys", api_keys=f"{ADA.entry},{BOB.entry}")
    try:
        yield gateway.start()
    finally:
        gateway.close()
