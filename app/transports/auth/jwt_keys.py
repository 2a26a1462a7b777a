"""The keys that JWT are checked with; each one is bound to its algorithm (P6.1).

A file of them is a JWK set, whose keys have ids (`kid`), or public keys as PEM, one after the other, which have none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jwt
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.errors import ConfigurationError

WEAKEST_SECRET: Final = 32
"""Bytes of an HS256 secret: as many as its digest has (RFC 7518, 3.2)."""

_WEAKEST_RSA: Final = 2048
_MOST_KEYS: Final = 64
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}


@frozen
class VerificationKey:
    """One key, and the only algorithm that it is used with."""

    kid: str | None
    algorithm: str
    key: Any


def of_secret(secret: str) -> VerificationKey:
    """The HS256 key of RUNCAST_JWT_SECRET."""
    return VerificationKey(None, "HS256", secret.encode())


def read_keys(path: Path, text: str) -> tuple[VerificationKey, ...]:
    """The keys of a file's text.

    Raises:
        ConfigurationError: it has none, or one that is not fit to be used.
    """
    keys = _of_jwks(path, text) if text.lstrip().startswith("{") else _of_pem(path, text)
    if not 1 <= len(keys) <= _MOST_KEYS:
        raise ConfigurationError(f"{path} must hold 1 to {_MOST_KEYS} keys for RS256, ES256 or HS256")
    named = [key.kid for key in keys if key.kid is not None]
    if len(set(named)) < len(named):
        raise ConfigurationError(f"{path} has two keys with the same kid")
    return keys


def _of_pem(path: Path, text: str) -> tuple[VerificationKey, ...]:
    keys: list[VerificationKey] = []
    for block in _PEM.finditer(text):
        where = f"{path}: key {len(keys) + 1}"
        if block[1] not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            raise ConfigurationError(f"{where} is a {block[1]}; only public keys belong here")
        try:
            key = load_pem_public_key(block[0].encode())
        except ValueError as error:
            raise ConfigurationError(f"{where} can't be read") from error
        keys.append(_fit(where, VerificationKey(None, "RS256" if isinstance(key, RSAPublicKey) else "ES256", key)))
    return tuple(keys)


def _of_jwks(path: Path, text: str) -> tuple[VerificationKey, ...]:
    try:
        members = json.loads(text)["keys"]
        return tuple(
            _of_jwk(f"{path}: key {number}", member)
            for number, member in enumerate(members, start=1)
            if _is_ours(member)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no JWK set") from error


def _is_ours(member: dict[str, Any]) -> bool:
    """Whether it is a key for an algorithm of ours; providers publish others beside them."""
    algorithm = _ALGORITHMS.get(str(member.get("kty")))
    return algorithm is not None and member.get("alg", algorithm) == algorithm and member.get("use", "sig") == "sig"


def _of_jwk(where: str, member: dict[str, Any]) -> VerificationKey:
    if "d" in member:
        raise ConfigurationError(f"{where} is a private key; only public keys belong here")
    kid, algorithm = member.get("kid"), _ALGORITHMS[member["kty"]]
    if not isinstance(kid, str | None):
        raise ConfigurationError(f"{where} has a kid that is no string")
    try:
        key = jwt.PyJWK(member, algorithm).key
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{where} can't be read") from None  # the cause may show the key
    return _fit(where, VerificationKey(kid, algorithm, key))


def _fit(where: str, found: VerificationKey) -> VerificationKey:
    match found.key:
        case bytes() if len(found.key) < WEAKEST_SECRET:
            raise ConfigurationError(f"{where} is too short a secret: at least {WEAKEST_SECRET} bytes")
        case RSAPublicKey() if found.key.key_size < _WEAKEST_RSA:
            raise ConfigurationError(f"{where} is too short an RSA key: at least {_WEAKEST_RSA} bits")
        case EllipticCurvePublicKey() if not isinstance(found.key.curve, SECP256R1):
            raise ConfigurationError(f"{where} is on another curve than P-256, which ES256 needs")
        case bytes() | RSAPublicKey() | EllipticCurvePublicKey():
            return found
        case _:
            raise ConfigurationError(f"{where} is for no algorithm of RS256, ES256 and HS256")
