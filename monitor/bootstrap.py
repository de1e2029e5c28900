"""The only place that knows concrete classes: it puts store, keys, models and connectors together.

Plug-ins are loaded by entry point, checked for every member of their contract, and stand behind ``adapters.guard``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from monitor import config as configuration
from monitor._settings import near
from monitor.adapters import guard
from monitor.adapters.clock import SystemClock
from monitor.adapters.keys import open_keys
from monitor.adapters.passwords import Argon2Passwords
from monitor.config import Config, Fault
from monitor.core.errors import ClassifierError, ConfigError, PluginError, StoreError
from monitor.core.ports import Capability, ChannelConfig, ClaimMatching, Classifier, Grouping, NotifierConfig
from monitor.usecases.deps import Deps

if TYPE_CHECKING:
    from datetime import datetime

    from monitor.adapters.guard import GuardedConnector, GuardedNotifier
    from monitor.core.model import Broken, RawPost
    from monitor.core.ports import UnitOfWork

CONNECTORS: Final = "huiyin.connectors"
CLASSIFIERS: Final = "huiyin.classifiers"
NOTIFIERS: Final = "huiyin.notifiers"
_FAST: Final = "fast"
TIERS: Final = ("auto", "fast", "deep")
_CAPABILITIES_KEPT: Final = 5.0
_WORDS: Final = frozenset(map(str, Capability))
T = TypeVar("T")


class App:
    """Everything of one process: configuration, dependencies and connectors, which are built when first asked for.

    Attributes:
        config: what was configured.
        deps: what every use case is given.
        notes: what is wrong and yet does not stop the service, in sentences for the health screen.
        safe: the configuration has faults; connectors stay off (F-17).
    """

    def __init__(self, config: Config, deps: Deps, notes: Sequence[str] = (), safe: bool = False) -> None:
        self.config = config
        self.notes = tuple(notes)
        self.safe = safe
        self.deps = replace(deps, capabilities=self.capabilities, lacking=self.lacking)
        self._connectors: dict[str, GuardedConnector] = {}
        self._kept: dict[Any, Any] = {}
        self._declared: tuple[float, Mapping[str, tuple[str, ...]]] = (float("-inf"), {})

    def connector(self, name: str) -> GuardedConnector:
        """Return the connector of a declared channel; always the same object.

        Raises: ConfigError when it is not declared or its settings are wrong; PluginError.
        """
        if name not in self._connectors:
            channel = self.config.channel(name)
            self._connectors[name] = build_connector(self.config, channel, self.deps.rules.send_timeout)
        return self._connectors[name]

    @property
    def connectors(self) -> Mapping[str, GuardedConnector]:
        """Return the connectors that were built so far."""
        return dict(self._connectors)

    def capabilities(self, name: str) -> frozenset[Capability]:
        """Return what a channel can do: as its connector says, else as the service last wrote down."""
        if name in self._connectors:
            return self._connectors[name].capabilities
        return frozenset(Capability(word) for word in self._written(name) if word in _WORDS)

    def lacking(self, name: str, thread: str | None) -> frozenset[Capability]:
        """Return what of its capabilities a channel has not in one thread, where our account is no administrator."""
        if name in self._connectors:
            return frozenset(self._connectors[name].lacking.get(thread or "", ()))
        pairs = (word.partition("@") for word in self._written(name))
        return frozenset(Capability(word) for word, _at, where in pairs if where == thread and word in _WORDS)

    def _written(self, name: str) -> tuple[str, ...]:
        """Return what the service last wrote down of a channel's capabilities, as words."""
        at, declared = self._declared
        if self.deps.clock.monotonic() - at > _CAPABILITIES_KEPT:
            with self.deps.uow.read() as store:
                declared = {row.name: row.capabilities for row in store.channels.status()}
            self._declared = (self.deps.clock.monotonic(), declared)
        return declared.get(name, ())

    def said_capabilities(self, name: str) -> frozenset[str]:
        """Return what is written down of a channel's capabilities: its own, and what single threads lack."""
        whole = {str(one) for one in self.capabilities(name)}
        lacking = self._connectors[name].lacking if name in self._connectors else {}
        return frozenset(whole | {f"{one}@{thread}" for thread, many in lacking.items() for one in many})

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what ``make`` made for ``key`` the first time in this process."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def close(self) -> None:
        """Close the store; connectors are closed by the loop that runs them."""
        self.deps.uow.close()


# --- plug-ins --------------------------------------------------------------------------------------


@cache
def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return name -> entry point of every installed plug-in of a group."""
    return {point.name: point for point in entry_points(group=group)}


def _point(group: str, name: str) -> EntryPoint:
    found = plugins(group).get(name)
    if found is None:
        raise ConfigError(f"no plug-in `{name}` is installed; {near(name, plugins(group))}")
    return found


def _made(point: EntryPoint, *given: Any) -> Any:
    """Import a plug-in and call its factory; raises ConfigError, ClassifierError or PluginError."""
    return guard.made(point.name, guard.made(point.name, point.load), *given)


def connector_from(point: EntryPoint, channel: ChannelConfig, seconds: float) -> GuardedConnector:
    """Return the connector that an entry point makes, behind the fence.

    Raises: ConfigError from the plug-in; PluginError naming it when it breaks or keeps no contract.
    """
    return guard.GuardedConnector(_made(point, channel), point.name, seconds)


def build_connector(config: Config, channel: ChannelConfig, seconds: float) -> GuardedConnector:
    """Return the connector of a channel behind the fence.

    Raises: ConfigError naming file, key and mend; PluginError naming the plug-in.
    """
    try:
        return connector_from(_point(CONNECTORS, channel.type), channel, seconds)
    except ConfigError as error:
        raise ConfigError(str(channel_fault(config, channel, str(error)))) from None


def channel_fault(config: Config, channel: ChannelConfig, message: str) -> Fault:
    """Return a connector's complaint about its settings with the file and line of the key that it names."""
    said = message.removeprefix(f"channel `{channel.name}`: ")
    named = said.split("`")[1::2]
    key = next((word for word in named if word in channel.settings), "")
    if not key and channel.type not in plugins(CONNECTORS):
        key = "type"
    return config.fault(tuple(filter(None, ("channels", channel.name, key))), said)


def build_notifier(config: Config, name: str) -> GuardedNotifier:
    """Return a declared notifier behind the fence.

    Raises: ConfigError naming file, key and mend; PluginError naming the plug-in.
    """
    declared = config.notifier(name)
    try:
        return _notifier_from(declared)
    except ConfigError as error:
        raise ConfigError(str(_notifier_fault(config, declared, str(error)))) from None


def _notifier_from(declared: NotifierConfig) -> GuardedNotifier:
    point = _point(NOTIFIERS, declared.type)
    return guard.GuardedNotifier(_made(point, declared), point.name)


def _notifier_fault(config: Config, declared: NotifierConfig, message: str) -> Fault:
    said = message.removeprefix(f"notifier `{declared.name}`: ")
    key = next((word for word in said.split("`")[1::2] if word in declared.settings), "")
    if not key and declared.type not in plugins(NOTIFIERS):
        key = "type"
    return config.fault(tuple(filter(None, ("notifiers", declared.name, key))), said)


def notifier_faults(config: Config, name: str) -> list[Fault]:
    """Return what is wrong with the settings of a declared notifier: the first fault that its plug-in names."""
    try:
        declared = config.notifier(name)
    except ConfigError as error:
        return [Fault("", None, "", str(error))]
    try:
        _notifier_from(declared)
    except ConfigError as error:
        return [_notifier_fault(config, declared, str(error))]
    except PluginError as error:
        return [config.fault(("notifiers", name), str(error))]
    return []


def channel_faults(config: Config, name: str) -> list[Fault]:
    """Return every fault in the settings of a declared channel, by leaving out one faulty key after the other."""
    try:
        channel = config.channel(name)
    except ConfigError as error:
        return [Fault("", None, "", str(error))]
    found: list[Fault] = []
    for _round in range(len(channel.settings) + 1):
        try:
            connector_from(_point(CONNECTORS, channel.type), channel, 1.0)
            return found
        except ConfigError as error:
            fault = channel_fault(config, channel, str(error))
            key = fault.key.rpartition(".")[2]
            found.append(fault)
        except PluginError as error:
            return [*found, config.fault(("channels", name), str(error))]
        if key not in channel.settings:
            return found
        channel = replace(channel, settings={k: v for k, v in channel.settings.items() if k != key})
    return found


def faults(path: Path | None, data: Path) -> tuple[Config, list[Fault]]:
    """Read the configuration and try every connector's settings; return all that is wrong."""
    config, found = configuration.read(path, data)
    named = (fault for name in config.channels for fault in channel_faults(config, name))
    told = (fault for name in config.notifiers for fault in notifier_faults(config, name))
    return config, [*found, *named, *told]


def settings_of(kind: str, group: str = CONNECTORS) -> list[Field[Any]]:
    """Return the settings of a kind of channel or notifier, as its module declares them in a dataclass ``Settings``.

    Raises: ConfigError when no such plug-in is installed.
    """
    point = _point(group, kind)
    module = sys.modules[guard.made(kind, point.load).__module__]
    declared = getattr(module, "Settings", None)
    return list(fields(declared)) if is_dataclass(declared) else []


def import_reader(path: Path, form: str, channel: str) -> Iterator[RawPost | Broken]:
    """Return the items of a file as the connector of files reads them; raises Malformed or Unavailable."""
    from connectors import file

    return file.read(path, form, channel)


def load_classifier(data: Path, tier: str = "auto") -> Classifier:
    """Load the models that serve in this data directory.

    Args:
        data: the data directory.
        tier: one of ``TIERS``.

    Raises: ClassifierError, PluginError or ConfigError with the mend.
    """
    from classifiers import _artifact

    if tier not in TIERS:
        raise ConfigError(f"worker.tier is one of {', '.join(TIERS)}")
    models = data / "models"
    loaded = _made(_point(CLASSIFIERS, tier), _artifact.active_folder(models) if tier == _FAST else models)
    return guard.GuardedClassifier(loaded, tier)


def deep_facts(data: Path) -> str:
    """Say whether the deep tier is in use and in which version; raises ClassifierError with the mend."""
    from classifiers import deep

    return deep.facts(data / "models")


def model_facts(data: Path) -> str:
    """Return name, version and hash of the model that serves; raises ClassifierError or PluginError with the mend."""
    from classifiers import _artifact

    model = load_classifier(data, _FAST)
    manifest = _artifact.read(_artifact.active_folder(data / "models")).facts
    return f"{model.name} {model.version}, sha256 {str(manifest.get('weights_sha256', ''))[:16]}…"


def new_grouping() -> Grouping:
    """Return an empty window of near-duplicate grouping."""
    from classifiers.groups import Grouper

    return Grouper()


def new_matching() -> ClaimMatching:
    """Return what finds the known claim that a post tells."""
    from classifiers.claims import KnownClaims

    return KnownClaims()


# --- putting it together ---------------------------------------------------------------------------


def build(
    config: Config,
    *,
    models: bool = True,
    upgrade: bool = False,
    notes: Sequence[str] = (),
    safe: bool = False,
) -> App:
    """Open store and keys and load the models; make the data directory and the database when there is none.

    Args:
        config: what was configured.
        models: load classifier and grouping; commands that do not classify leave them out.
        upgrade: bring an older database to the newest revision instead of refusing it.
        notes: what is known to be wrong already.
        safe: connectors stay off.

    Raises: ConfigError, StoreError with the mend.
    """
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys, clock = open_keys(config.data / "keys"), SystemClock()
    uow = _opened(config, clock.now, keys.ledger_key, upgrade)
    deps = Deps(
        uow=uow,
        clock=clock,
        keys=keys,
        rules=config.rules,
        passwords=Argon2Passwords(),
        notifiers=tuple(config.notifiers),
    )
    if models:
        classifier, trouble = _understanding(config.data, config.worker.tier)
        deps = replace(deps, classifier=classifier, grouping=new_grouping(), matching=new_matching())
        notes = [*notes, *trouble]
    return App(config, deps, notes, safe)


def _opened(config: Config, now: Callable[[], datetime], key: bytes, upgrade: bool) -> UnitOfWork:
    """Open the store; a database that does not exist yet is made, an older one only with ``upgrade``."""
    from monitor.adapters.sql.uow import open_store

    url = config.store_url
    file = Path(url.removeprefix("sqlite:///").split("?")[0])
    if url.startswith("sqlite:///") and not (file.exists() and file.stat().st_size):
        file.parent.mkdir(parents=True, exist_ok=True)
        prepare_database(config)
    try:
        return open_store(url, now, key)
    except StoreError:
        if not upgrade:
            raise
    prepare_database(config)
    return open_store(url, now, key)


def _understanding(data: Path, tier: str) -> tuple[Classifier | None, list[str]]:
    """Return the classifier, or None with a sentence for the banner: posts then go on without a reading (F-16)."""
    try:
        return load_classifier(data, tier), []
    except (ClassifierError, PluginError, ConfigError) as error:
        return None, [str(error)]


def prepare_database(config: Config) -> None:
    """Bring the database to the newest revision; raises ConfigError, StoreError."""
    from monitor.adapters.sql import migrations

    migrations.upgrade(config.store_url)


def database_status(config: Config) -> tuple[str | None, str | None]:
    """Return the revision of the database (None when there is none) and the newest one."""
    from monitor.adapters.sql import migrations

    return migrations.status(config.store_url)


def from_environment(*, models: bool = True, upgrade: bool = False) -> App:
    """Build the application of the data directory and file that the environment names.

    With ``HUIYIN_CAREFUL=1``, as the supervisor sets it, a faulty configuration does not stop a part: it goes on in
    safe mode with the connectors off, unless it is the store that is misconfigured.

    Args:
        models, upgrade: see :func:`build`.

    Raises: ConfigError with every fault; StoreError.
    """
    careful = os.environ.get("HUIYIN_CAREFUL") == "1"
    data = Path(os.environ.get("HUIYIN_DATA") or "huiyin-data")
    named = os.environ.get("HUIYIN_CONFIG")
    config, found = configuration.read(Path(named) if named else None, data)
    store = [fault for fault in found if not fault.key or fault.key.startswith(("store", "HUIYIN_STORE"))]
    if found and (store or not careful):
        raise ConfigError("\n".join(map(str, found)))
    notes = [str(fault) for fault in found]
    return build(config, models=models, upgrade=upgrade, notes=notes, safe=bool(found))


__all__ = [
    "App",
    "build",
    "build_connector",
    "build_notifier",
    "channel_faults",
    "connector_from",
    "database_status",
    "faults",
    "from_environment",
    "import_reader",
    "load_classifier",
    "model_facts",
    "new_grouping",
    "notifier_faults",
    "plugins",
    "prepare_database",
    "settings_of",
]
