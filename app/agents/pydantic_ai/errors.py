"""What goes wrong at a provider, in words that a client may read: no keys, no addresses, no provider's texts (P6.5)."""

from __future__ import annotations

import structlog
from pydantic_ai import exceptions as failures

from app.errors import AgentError, MaxIterationsReached

_log = structlog.get_logger(__name__)

TOO_LONG = "the conversation is too long for the model"
"""What is said when the context window is too small."""

_BY_TYPE = {"exceed_context_size_error": TOO_LONG}  # llama.cpp's word for it

_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (failures.ModelRateLimitError, "the provider limits the rate of requests; try again later"),
    (failures.ModelQuotaExceededError, "the provider's quota or credit is used up"),
    (failures.ModelOverloadedError, "the provider is overloaded; try again later"),
    (failures.ModelUnavailableError, "the provider is unavailable; try again later"),
    (failures.ModelServerError, "the provider failed"),
    (failures.ModelTimeoutError, "the provider did not answer in time"),
    (failures.ModelConnectionError, "the connection to the provider failed"),
    (failures.ModelContextWindowExceededError, TOO_LONG),
    (failures.ModelAuthenticationError, "the provider refused the server's key"),
    (failures.ModelNotFoundError, "the provider has no such model"),
    (failures.ModelRequestRejectedError, "the provider rejected the request"),
    (failures.ModelRequestTimeout, "the provider did not answer in time"),
    (failures.ContentFilterError, "the provider's content filter stopped the answer"),
    (failures.OutputTokenLimitExceeded, "the model's answer was longer than its limit allows"),
)

CUT = "the connection was cut before the answer was complete"
"""What is said of an answer that just stops."""

UNREADABLE = "the provider's answer could not be read"
"""What is said of an answer that makes no sense."""


async def provider_error(error: Exception, model: str) -> AgentError:
    """What a client is told about a failed request to a model.

    Args:
        error: what pydantic-ai or the provider's SDK raised.
        model: the model's name, as the server's operator configured it.
    """
    if isinstance(error, AgentError):
        return error
    reason = _BY_TYPE.get(getattr(error, "provider_error_type", None) or "")
    reason = reason or next((said for kind, said in _BY_KIND if isinstance(error, kind)), None)
    status = getattr(error, "status_code", None)
    if reason is None:
        await _log.awarning("model.failed", model=model, exc_info=error)
        reason = "the provider refused the request" if status else UNREADABLE
    code = f" (HTTP {status})" if status else ""
    return AgentError(f"{model}: {reason}{code}")


async def run_error(error: Exception, model: str, max_iterations: int) -> AgentError:
    """What a client is told about a run that pydantic-ai gave up."""
    match error:
        case failures.UsageLimitExceeded():
            return MaxIterationsReached(f"the agent used up its {max_iterations} iterations")
        case failures.UnexpectedModelBehavior() if not isinstance(error, tuple(kind for kind, _ in _BY_KIND)):
            return AgentError(f"{model}: the model did not come to a usable answer")
        case _:
            return await provider_error(error, model)
