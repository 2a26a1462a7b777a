"""JSON web tokens: `sub` is the principal (P6.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jwt

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.jwt_keys import VerificationKey, of_secret, read_keys
from app.transports.auth.principals import is_principal
from app.transports.auth.watched_file import WatchedFile

_LEEWAY: Final = 5
"""Seconds that two clocks may differ."""

_REQUIRED: Final = ["exp", "sub"]
_SAID: Final = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.MissingRequiredClaimError: "the token lacks exp, sub, or another claim that is asked for",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is from another issuer",
}
"""What a caller whose signature is right may know; others learn nothing."""


class JwtTokens:
    """Tokens that are JWT.

    Args:
        secret: for HS256.
        path: a JWK set, or public keys as PEM.
        audience: what `aud` must name; without it, a token that has an audience is not for us.
        issuer: what `iss` must be.

    Raises:
        ConfigurationError: a key is wrong, or there are none at all.
    """

    def __init__(
        self, secret: str | None, path: Path | None, *, audience: str | None = None, issuer: str | None = None
    ) -> None:
        if secret is None and path is None:
            raise ConfigurationError("RUNCAST_AUTH=jwt needs RUNCAST_JWT_SECRET or RUNCAST_JWT_KEYS_FILE")
        self._secret = (of_secret(secret),) if secret is not None else ()
        self.files = (WatchedFile(path, lambda text: read_keys(path, text)),) if path is not None else ()
        self._audience = audience
        self._issuer = issuer

    def principal(self, token: str) -> str:
        """Whose token it is.

        Raises:
            Unauthenticated: it is not signed by any of the keys, not valid now, or not meant for this server.
        """
        said = "the token is not valid"
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:  # extensions that must be understood, and none is
                raise jwt.InvalidTokenError
            for key in self._candidates(header):
                try:
                    return self._subject(token, key)
                except jwt.InvalidSignatureError:
                    continue
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            said = _SAID.get(type(error), said)
        raise Unauthenticated(said, given=True)

    def _candidates(self, header: dict[str, Any]) -> list[VerificationKey]:
        """The keys that may have signed it: those with its `kid`, or else those that have none."""
        keys = [*self._secret, *(key for file in self.files for key in file.value)]
        kid, algorithm = header.get("kid"), header.get("alg")
        named = [key for key in keys if key.kid is not None and key.kid == kid]
        return [key for key in named or keys if key.algorithm == algorithm and (named or key.kid is None)]

    def _subject(self, token: str, key: VerificationKey) -> str:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY,
            options={"require": _REQUIRED},
        )
        if not is_principal(claims["sub"]):
            raise jwt.InvalidTokenError
        return str(claims["sub"])
