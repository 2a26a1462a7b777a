"""From `provider:model` to a pydantic-ai model: which wire protocol, which server, which key."""

from __future__ import annotations

import inspect
import os
from typing import Any

from attrs import frozen
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings

from app.agents.profile_tables import ModelTable
from app.errors import AgentError, ConfigurationError, installs

RETRIES = 1
"""How often a provider's SDK repeats a refused or broken request, unless the settings say `max_retries`."""

_OLLAMA = "http://127.0.0.1:11434/v1"
_NO_KEY = "no-key"
_FAMILIES = {"OpenAIChatModel", "OpenAIResponsesModel", "AnthropicModel"}


@frozen
class Connection:
    """A model that can be asked.

    Attributes:
        says_why_it_ended: whether a complete answer always names its finish reason, so that one without was cut.
    """

    model: Model
    settings: ModelSettings
    says_why_it_ended: bool


def check(table: ModelTable) -> None:
    """Look at what can be wrong before anything is asked.

    Raises:
        ConfigurationError: the model's name is malformed, its provider unknown or not installed, or it takes no
            `base_url`.
    """
    if table.model == "test":
        return
    provider, _, model = table.model.partition(":")
    if not provider or not model:
        raise ConfigurationError(f"model {table.model!r}: write `provider:model`, as `openai:gpt-5-mini`")
    try:
        takes = inspect.signature(infer_provider_class(provider)).parameters
    except ValueError:
        raise ConfigurationError(f"model {table.model!r}: there is no provider {provider!r}") from None
    except ImportError as error:
        raise ConfigurationError(
            f"model {table.model!r}: the provider's package is missing: "
            f"{installs('agent')}; for other providers, .venv/bin/python -m pip install 'pydantic-ai-slim[{provider}]'"
        ) from error
    for key, given in (("base_url", table.base_url), ("api_key", table.api_key_env)):
        if given is not None and key not in takes:
            raise ConfigurationError(f"model {table.model!r}: the provider {provider!r} takes no {key}")


def connect(table: ModelTable, api_key: str | None = None) -> Connection:
    """Create the model and its HTTP client. It blocks (certificates are read), and connects to nothing yet.

    With a `base_url`, `openai:` means chat completions, which is what compatible servers speak; and no other key is
    sent there than the one that `api_key_env` names.

    Args:
        table: the profile.
        api_key: a key that comes from elsewhere than the environment.

    Raises:
        AgentError: the key is missing.
    """
    key = api_key or _key(table)
    try:
        model = _infer(table, key)
    except UserError as error:
        raise _cannot_connect(table) from error
    except Exception as error:
        if type(error).__name__ in {"OpenAIError", "AnthropicError"}:
            raise _cannot_connect(table) from error
        raise
    known = any(each.__name__ in _FAMILIES for each in type(model).__mro__)
    settings: dict[str, Any] = ({"max_retries": RETRIES} if known else {}) | table.settings
    return Connection(model, ModelSettings(**settings), says_why_it_ended=known)  # type: ignore[typeddict-item]


def _key(table: ModelTable) -> str | None:
    if table.api_key_env is None:
        return None
    key = os.environ.get(table.api_key_env)
    if not key:
        raise AgentError(f"the model's key is missing: the server's environment has no {table.api_key_env}")
    return key


def _infer(table: ModelTable, key: str | None) -> Model:
    provider, _, name = table.model.partition(":")
    base_url = table.base_url
    if provider == "ollama":
        base_url = base_url or os.environ.get("OLLAMA_BASE_URL") or _OLLAMA
    if base_url is None and key is None:
        return infer_model(table.model)
    if base_url and provider == "openai":
        provider = "openai-chat"
    return infer_model(f"{provider}:{name}", provider_factory=lambda each: _provider(each, base_url, key))


def _provider(provider: str, base_url: str | None, key: str | None) -> Provider[Any]:
    if base_url and provider in {"openai-chat", "openai-responses"}:
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415  # has an SDK

        return OpenAICompatibleProvider("openai-compatible", base_url=base_url, api_key=key or _NO_KEY)
    given = {"base_url": base_url, "api_key": key or (_NO_KEY if base_url else None)}
    return infer_provider_class(provider)(**{name: value for name, value in given.items() if value})


def _cannot_connect(table: ModelTable) -> AgentError:
    return AgentError(
        f"the model {table.model} can't be reached as configured; most likely its key is missing in the server's "
        "environment (the provider's usual variable, or the one that the profile's `api_key_env` names)"
    )
