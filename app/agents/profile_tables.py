"""What a `profiles.toml` may say: one class per kind of agent, whose attributes are the keys of its table."""

from __future__ import annotations

from typing import Any

from attrs import Factory, field, frozen, validators

MAX_LENGTH = 50_000
"""The most text deltas that the demo agent answers with."""

MAX_RATE = 100_000
"""The most tokens per second that the demo agent can be asked for."""


def _between(low: float, high: float) -> Any:
    return validators.optional(validators.and_(validators.ge(low), validators.le(high)))


@frozen(kw_only=True)
class CodeTable:
    """An agent of the user's own: `agent = "package.module:attribute"`."""

    agent: str
    description: str = ""


@frozen(kw_only=True)
class DemoTable:
    """`agent = "demo"`.

    Attributes:
        tokens_per_second: 0 is as fast as possible.
        length: how many text deltas an answer has; None is its natural length.
    """

    agent: str = "demo"
    description: str = ""
    tokens_per_second: float = field(default=40.0, validator=_between(0, MAX_RATE))
    length: int | None = field(default=None, validator=_between(0, MAX_LENGTH))


@frozen(kw_only=True)
class LocalTable:
    """`agent = "local"`: the small bundled model."""

    agent: str = "local"
    description: str = ""
    instructions: str | None = None


@frozen(kw_only=True)
class ModelTable:
    """`agent = "pydantic-ai"`: a model of some provider.

    Attributes:
        model: `provider:model`, as pydantic-ai names them.
        base_url: another server that speaks the provider's protocol; its key is then only what `api_key_env` names.
        api_key_env: the environment variable that holds the key, where it isn't the provider's usual one.
        tools: functions that the model may call, as `module:function`.
        subagents: other profiles that the model may ask.
        needs_approval: tools, by the names that the model knows, that wait for somebody's approval before each call.
        max_iterations: model requests per run.
        max_context_tokens: the size from which the oldest turns are left out.
        settings: model settings (`temperature`, `max_tokens`, `thinking`, …), passed on as they are.
    """

    agent: str = "pydantic-ai"
    description: str = ""
    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    instructions: str | None = None
    tools: tuple[str, ...] = ()
    subagents: tuple[str, ...] = ()
    needs_approval: tuple[str, ...] = ()
    max_iterations: int = field(default=50, validator=validators.ge(1))
    max_context_tokens: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    settings: dict[str, Any] = Factory(dict)


Table = CodeTable | DemoTable | LocalTable | ModelTable
