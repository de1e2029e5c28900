"""Every setting of ``huiyin.toml`` outside the channels' own ones, with its sentence, unit and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor._settings import Spec, setting, specs_of


@dataclass(frozen=True, slots=True)
class House:
    """Who we are."""

    union_name: str = setting("How the union signs its answers and names itself on public pages.", "校工会")
    base_url: str = setting(
        "Where members reach the public pages; empty means the address of the service.", ""
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where posts and cases are kept."""

    url: str = setting(
        "Address of the database, sqlite:///PATH or postgresql+psycopg://HOST/NAME; empty means huiyin.db in the data"
        " directory; one that holds a password is given by reference.",
        "",
    )


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The web service: public pages, pushes, programs."""

    host: str = setting(
        "Address on which the service listens; put a proxy with TLS before any other.", "127.0.0.1"
    )
    port: int = setting("Port of the service.", 8780, least=1, most=65535)


@dataclass(frozen=True, slots=True)
class UiSettings:
    """The screens of the staff."""

    host: str = setting("Address on which the screens listen.", "127.0.0.1")
    port: int = setting("Port of the screens.", 8501, least=1, most=65535)
    base_path: str = setting("Path under which a proxy serves the screens, e.g. /review.", "")
    allowed_hosts: tuple[str, ...] = setting("Names that people type in to reach the screens.", ())


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Understanding of posts."""

    batch: int = setting("Most posts that are understood at once.", 256, unit="posts", least=1, most=1000)
    procs: int = setting(
        "Processes that classify; grouping stays in one.", 1, unit="processes", least=1, most=64
    )
    tier: str = setting(
        "Models that read posts: fast, deep (every post), or auto (deep where fast is unsure, if it is installed).",
        "auto",
    )


RULES: Final[Mapping[str, Spec]] = {
    "effect_delay": Spec(float, 20.0, "Wait before anything leaves the house, so that undo is real.", "seconds", 0, 3600),
    "undo_seconds": Spec(float, 600.0, "How long the person who decided may undo.", "seconds", 0, 86400),
    "lease_seconds": Spec(float, 300.0, "How long a case stays with the person who took it.", "seconds", 30, 86400),
    "job_lease_seconds": Spec(
        float, 60.0, "How long a worker may keep a post before another takes it.", "seconds", 5, 3600
    ),
    "send_timeout": Spec(
        float, 15.0, "Longest wait for a send; an unknown outcome is read back after twice this.", "seconds", 1, 300
    ),
    "human_after": Spec(
        float, 600.0, "How long an outcome may stay unknown before a person looks.", "seconds", 30, 600,
        "an unknown outcome reaches a person within ten minutes",
    ),
    "appeal_days": Spec(
        int, 184, "How long a decision can be appealed.", "days", 184, 3660, "an appeal is open for six months"
    ),
    "rating_days": Spec(int, 15, "How long an answer can be rated.", "days", 1, 366),
    "public_floor": Spec(
        int, 10, "Distinct authors or cases below which a public figure is withheld.", "authors", 10, 10_000,
        "smaller groups would expose people",
    ),
    "inside_floor": Spec(
        int, 5, "Distinct authors below which a figure on a staff screen is withheld.", "authors", 5, 10_000,
        "smaller groups would expose people",
    ),
    "two_person_reply": Spec(bool, True, "The person who approves an answer is not the one who wrote it."),
    "group_window_days": Spec(int, 14, "How far back near duplicates are looked for.", "days", 1, 366),
    "hide_recalled": Spec(
        bool, True, "Screens no longer show the words of a message that its author took back; a removal by us or by"
        " an administrator of the group stays readable, for the appeal.",
    ),
    "original_days": Spec(
        int, 30, "How long the words before masking are kept, sealed; 0 keeps none.", "days", 0, 184,
        "nobody needs a phone number from a post for longer",
    ),
    "idempotency_days": Spec(int, 7, "How long the mark of a request is kept, so that it counts once.", "days", 1, 366),
    "quarantine_days": Spec(int, 90, "How long what could not be read is kept.", "days", 1, 366),
    "session_days": Spec(int, 30, "How long a session that nobody uses is kept.", "days", 1, 366),
}  # fmt: skip
"""Figures of the house (see :class:`monitor.usecases.deps.Rules`), with the bounds that rights and law set."""

CHANNEL: Final[Mapping[str, Spec]] = {
    "type": Spec(
        str, "", "Kind of channel: the name of a connector, e.g. onebot, file, webhook, box, replay."
    ),
    "unit": Spec(str, "", "Unit that owns the channel, for routing and for figures by unit."),
    "paused": Spec(bool, False, "Do not listen and do not send until this is taken away."),
    "quiet_hours": Spec(
        str,
        "",
        "Shanghai time in which answers and notices wait, e.g. 22:00-07:30; those of an urgent case or of one"
        " of care leave at once.",
    ),
    "answers_per_minute": Spec(
        int, 20, "Most answers and notices that leave in a minute; the others wait.", "answers", 1, 600
    ),
}
"""Settings that every channel has; the others belong to its connector."""

NOTIFIER: Final[Mapping[str, Spec]] = {
    "type": Spec(str, "", "Kind of notifier: wecom, dingtalk, feishu, mail, webhook, or that of a plug-in."),
    "kinds": Spec(
        tuple,
        (),
        "What is told: urgent_case, case_overdue, case_due, needs_human, appeal_waiting, channel_down; empty tells all.",
    ),
    "quiet_hours": Spec(str, "22:00-07:30", "Shanghai time in which messages wait; empty when there is none."),
    "at_night": Spec(tuple, ("urgent_case",), "What leaves in the quiet hours all the same."),
    "gather_seconds": Spec(
        float, 60.0, "How long what is not urgent waits, so that it is told together.", "seconds", 0, 3600
    ),
    "down_minutes": Spec(
        float, 30.0, "How long a channel may be without an answer before it is told.", "minutes", 5, 1440
    ),
    "link": Spec(str, "", "Where the staff open the screens; empty means the address of the screens."),
    "repeat_unsure": Spec(
        bool, False, "Send again what perhaps arrived: rather twice than not at all; a webhook always does, it counts once.",
    ),
    "paused": Spec(bool, False, "Tell nothing until this is taken away."),
}  # fmt: skip
"""Settings that every notifier has; the others belong to its plug-in."""

SECTIONS: Final[Mapping[str, Mapping[str, Spec]]] = {
    "": specs_of(House),
    "store": specs_of(StoreSettings),
    "service": specs_of(ServiceSettings),
    "ui": specs_of(UiSettings),
    "worker": specs_of(WorkerSettings),
    "rules": RULES,
}
