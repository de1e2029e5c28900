"""Settings of a channel: a frozen dataclass with one sentence per field, filled from the configuration."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

import msgspec

from monitor.core.errors import ConfigError
from monitor.core.ports import ChannelConfig, NotifierConfig

T = TypeVar("T")
_REQUIRED: Any = dataclasses.MISSING


def setting(sentence: str, default: Any = _REQUIRED, *, ask: bool = False, made: str = "") -> Any:
    """Declare one setting.

    Args:
        sentence: its documentation.
        default: what holds when it is left out; without one it is required.
        ask: ``huiyin channel add`` asks for it although it has a default.
        made: how the union makes this secret itself: ``token`` (43 characters for URLs), ``letters`` (32 letters and
            digits), ``aes`` (43 letters and digits) or ``whsec`` (Standard Webhooks). A secret that a platform gives
            out has none: it is asked for and never made up.
    """
    metadata = {"sentence": sentence, "ask": ask, "made": made}
    return dataclasses.field(default=default, metadata=metadata)


def sentences(settings: type) -> dict[str, str]:
    """Return name -> sentence of every setting of a settings class."""
    return {field.name: field.metadata["sentence"] for field in dataclasses.fields(settings)}


def _what(config: ChannelConfig | NotifierConfig) -> str:
    return "channel" if isinstance(config, ChannelConfig) else "notifier"


def _refuse_unknown(kind: type, config: ChannelConfig | NotifierConfig) -> None:
    known = [field.name for field in dataclasses.fields(kind)]
    for key in config.settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(known)}"
            raise ConfigError(f"{_what(config)} `{config.name}`: unknown setting `{key}`; {hint}")


def read(kind: type[T], config: ChannelConfig | NotifierConfig) -> T:
    """Return the settings of ``config`` as ``kind``.

    Raises: ConfigError naming the channel, the key and what is expected there.
    """
    _refuse_unknown(kind, config)
    try:
        return msgspec.convert(dict(config.settings), type=kind, strict=False)
    except msgspec.ValidationError as error:
        what = (
            str(error).replace("`$.", "`").replace("Object missing required field", "the setting is missing:")
        )
        raise ConfigError(f"{_what(config)} `{config.name}`: {what}") from None


def refuse(config: ChannelConfig | NotifierConfig, key: str, why: str) -> ConfigError:
    """Return the error for a setting whose value cannot be used."""
    return ConfigError(f"{_what(config)} `{config.name}`: `{key}` {why}")
