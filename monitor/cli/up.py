"""The commands that run Huiyin: ``up`` starts everything, ``serve``, ``worker`` and ``ui`` one part each."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.main import options, say
from monitor.core.model import Role
from monitor.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monitor.bootstrap import App
    from monitor.config import Config
    from monitor.core.ports import PartStatus
    from monitor.runtime.starting import Prepared, SignIn
    from monitor.runtime.supervise import Supervisor

READY_SECONDS: Final = 90.0
Host = Annotated[str | None, typer.Option("--host", metavar="HOST", help=_("监听地址，默认 127.0.0.1"))]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help=_("服务端口，默认 8780"))]
UiPort = Annotated[int | None, typer.Option("--ui-port", min=1, max=65535, help=_("界面端口，默认 8501"))]


def register(root: typer.Typer) -> None:
    """Mount ``up``, ``serve``, ``worker`` and ``ui`` on the root command."""
    example = _("例如") + ": huiyin "
    root.command(
        "up",
        help=_("启动全部：服务、理解、界面；首次启动时建库并给出一次性管理员密码。Ctrl-C 全部停止。"),
        epilog=example + "--data huiyin-data up --demo",
    )(up)
    root.command("serve", help=_("只启动服务：网页、收取、发出。"), epilog=example + "serve --port 8780")(
        serve
    )
    root.command("worker", help=_("只启动理解：分类、归组、立案。"), epilog=example + "worker --procs 2")(
        worker
    )
    root.command("ui", help=_("只启动工作人员的界面。"), epilog=example + "ui --port 8501")(ui)


# --- everything ------------------------------------------------------------------------------------


def up(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    ui_port: UiPort = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help=_("不启动界面"))] = False,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help=_("播放演示周，用演示账号登录"))] = False,
    demo_speed: Annotated[
        float, typer.Option("--demo-speed", min=0, help=_("演示每秒走过多少秒；0 为一次放完"))
    ] = 600.0,
) -> None:
    """Start every part, print where and who, and keep them running until Ctrl-C."""
    from monitor.runtime import starting
    from monitor.runtime.parts import Lock

    _override("HUIYIN_SERVICE_HOST", host)
    _override("HUIYIN_UI_HOST", host)
    _override("HUIYIN_SERVICE_PORT", port)
    _override("HUIYIN_UI_PORT", ui_port)
    _override("HUIYIN_DEMO", 1 if demo else None)
    _override("HUIYIN_CAREFUL", 1)
    chosen = options(context)
    chosen.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Lock(chosen.data, "up"):
        starting.refuse_second(chosen.data, ("serve", "worker"))
        if chosen.config is None and not demo and not (chosen.data / "huiyin.db").exists():
            starting.write_starter(chosen.data / "huiyin.toml")
        app = _opened()
        try:
            code = _run_all(context, app, not no_ui, demo_speed)
        finally:
            app.close()
    raise typer.Exit(code)


def _override(variable: str, value: str | int | None) -> None:
    if value is not None:
        os.environ[variable] = str(value)


def _opened() -> App:
    """Open the application without models; a faulty configuration is named, and connectors stay off."""
    from monitor import bootstrap

    app = bootstrap.from_environment(models=False, upgrade=True)
    for note in app.notes:
        typer.echo(note, err=True)
    if app.safe:
        typer.echo(_("配置有误，以安全模式启动：界面可用，渠道不启动。改好后重新启动。"), err=True)
    return app


def _run_all(context: typer.Context, app: App, with_ui: bool, speed: float) -> int:
    from monitor.runtime import starting
    from monitor.runtime.supervise import Supervisor

    config = app.config
    starting.refuse_taken(config.service.host, config.service.port, "--port")
    if with_ui:
        starting.refuse_taken(config.ui.host, config.ui.port, "--ui-port")
    if config.demo:
        starting.demo_token(config.data)
    prepared = starting.prepare(app)
    parts = [starting.service_part(), starting.worker_part()]
    parts += [starting.ui_part(config)] if with_ui else []
    if prepared.demo_since is not None and not app.safe:
        parts.append(starting.demo_part(config, prepared.demo_since, speed))
    return _supervise(context, app, Supervisor(parts, config.data / "logs", _beater(app)), prepared, with_ui)


def _supervise(
    context: typer.Context, app: App, supervisor: Supervisor, prepared: Prepared, with_ui: bool
) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.stop)
    begun = time.monotonic()
    supervisor.start()
    if prepared.sign_ins and not app.config.demo:
        typer.echo(_("首个管理员（密码只显示这一次）："))
        _print_sign_ins(prepared.sign_ins)
    if _wait_until_ready(supervisor, _addresses(app.config, with_ui)):
        _announce(context, app.config, prepared, with_ui, time.monotonic() - begun)
    code = supervisor.run()
    if supervisor.failed is not None:
        typer.echo(supervisor.last_words(supervisor.failed) or _("启动失败。"), err=True)
        typer.echo(_("详见 {folder} 里的日志。").format(folder=app.config.data / "logs"), err=True)
    else:
        say(context, _("已停止。"))
    return code


def _beater(app: App) -> Callable[[PartStatus], None]:
    def beat(part: PartStatus) -> None:
        with app.deps.uow.begin() as store:
            store.operations.beat(part)

    return beat


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _addresses(config: Config, with_ui: bool) -> list[str]:
    """Return the health addresses of the parts that answer over HTTP."""
    found = [f"http://{_reachable(config.service.host)}:{config.service.port}/healthz"]
    base = config.ui.base_path.strip("/")
    ui = f"http://{_reachable(config.ui.host)}:{config.ui.port}{f'/{base}' if base else ''}/healthz"
    return [*found, ui] if with_ui else found


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _wait_until_ready(supervisor: Supervisor, urls: Sequence[str]) -> bool:
    """Wait until every address answers; False when stopped, failed or out of patience."""
    deadline = time.monotonic() + READY_SECONDS
    missing = list(urls)
    while missing and time.monotonic() < deadline:
        if supervisor.stopping or supervisor.failed is not None:
            return False
        supervisor.look()
        missing = [url for url in missing if not _answers(url)]
        time.sleep(0.1)
    return not missing


def _announce(
    context: typer.Context, config: Config, prepared: Prepared, with_ui: bool, seconds: float
) -> None:
    """Print where Huiyin is and, in the demo, who may sign in."""
    base = config.ui.base_path.strip("/")
    typer.echo(_("回音已启动（{seconds} 秒）。").format(seconds=f"{seconds:.1f}"))
    if with_ui:
        typer.echo(
            _("  工作人员：{url}").format(url=f"http://{_reachable(config.ui.host)}:{config.ui.port}/{base}")
        )
    typer.echo(_("  教职工：  {url}").format(url=f"{config.rules.base_url}/box"))
    typer.echo(_("  接口文档：{url}").format(url=f"{config.rules.base_url}/docs"))
    if config.demo:
        typer.echo(_("演示账号（只用于演示）："))
        _print_sign_ins(prepared.sign_ins)
    say(context, _("按 Ctrl-C 停止。日志在 {folder}。").format(folder=config.data / "logs"))


def _print_sign_ins(sign_ins: Sequence[SignIn]) -> None:
    names = {
        Role.MODERATOR: _("审核员"),
        Role.LEADER: _("意见领袖"),
        Role.OFFICER: _("工会干部"),
        Role.HANDLER: _("承办人"),
        Role.CUSTODIAN: _("保密员"),
        Role.ADMIN: _("管理员"),
    }
    for one in sign_ins:
        typer.echo(f"  {one.login:<10}  {one.password}  {names[one.role]} {one.name}".rstrip())


# --- one part each ---------------------------------------------------------------------------------


def serve(context: typer.Context, host: Host = None, port: Port = None) -> None:
    """Run the service in this process."""
    from monitor import bootstrap, logs
    from monitor.runtime import serving
    from monitor.runtime.parts import Lock

    _override("HUIYIN_SERVICE_HOST", host)
    _override("HUIYIN_SERVICE_PORT", port)
    logs.setup("WARNING" if options(context).quiet else "INFO")
    logs.keep_words_of_crashes()
    with Lock(options(context).data, "serve"):
        app = bootstrap.from_environment(models=False)
        try:
            serving.run(app)
        finally:
            app.close()


def worker(
    context: typer.Context,
    procs: Annotated[
        int | None, typer.Option("--procs", min=1, max=64, help=_("分类用几个进程；归组始终在一个进程里"))
    ] = None,
) -> None:
    """Run the worker in this process; classifying may use more."""
    from monitor import bootstrap, logs
    from monitor.runtime import worker as working
    from monitor.runtime.parts import Lock

    logs.setup("WARNING" if options(context).quiet else "INFO")
    logs.keep_words_of_crashes()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_signal: stop.set())
    with Lock(options(context).data, "worker"):
        app = bootstrap.from_environment()
        try:
            working.run(app, stop, procs)
        finally:
            app.close()


def ui(
    context: typer.Context,
    host: Host = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help=_("界面端口，默认 8501"))
    ] = None,
) -> None:
    """Run the screens, started anew when they crash."""
    from monitor import bootstrap
    from monitor.runtime import starting
    from monitor.runtime.supervise import Supervisor

    _override("HUIYIN_UI_HOST", host)
    _override("HUIYIN_UI_PORT", port)
    app = bootstrap.from_environment(models=False)
    try:
        starting.refuse_taken(app.config.ui.host, app.config.ui.port, "--port")
        supervisor = Supervisor([starting.ui_part(app.config)], None, _beater(app))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, supervisor.stop)
        say(
            context,
            _("界面：{url}").format(url=f"http://{_reachable(app.config.ui.host)}:{app.config.ui.port}/"),
        )
        supervisor.start()
        raise typer.Exit(supervisor.run())
    finally:
        app.close()
