"""Every setting, from the environment: its name, its default, its bounds."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from environs import Env, EnvError
from marshmallow.validate import Length, OneOf, Range

from domain.limits import Limits

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_NOT_OURS = {"PARLEY_OPENAI_API_KEY", "PARLEY_OPENAI_BASE_URL", "PARLEY_LIMITS"}

_SCHEMES = {
    "PARLEY_DATABASE_URL": ("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://"),
    "PARLEY_MONGO_URL": ("mongodb://", "mongodb+srv://"),
    "PARLEY_REDIS_URL": ("redis://", "rediss://", "unix://"),
}


class SettingError(Exception):
    """A setting that Parley cannot run with; the message begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an installation chose. Times are in seconds unless their names say otherwise."""

    host: str
    port: int
    data_dir: Path
    database_url: str
    database_pool: int
    mongo_url: str | None
    redis_url: str | None
    redis_prefix: str
    secret_key: str
    jwt_secret: str | None
    cookie_secure: bool
    visitor_days: int
    openai_api_key: str | None
    openai_base_url: str | None
    model: str
    model_retries: int
    fallback: bool
    offline_pause: float
    reply_timeout: float
    idle_timeout: float
    log_keep: float
    concurrency: int
    shutdown_grace: float
    log_level: str
    limits: Limits

    @property
    def has_model(self) -> bool:
        """Whether a language model is configured."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def job_timeout(self) -> float:
        """Seconds after which a worker gives a reply up that should long have ended by itself."""
        return 2 * self.reply_timeout + 60

    @property
    def visitor_lifetime(self) -> timedelta:
        """How long a visitor's token is good."""
        return timedelta(days=self.visitor_days)

    @classmethod
    def from_environment(cls, *, create: bool = True) -> Settings:
        """The settings of this process; a missing data folder, and a secret in it, are made if `create` says so.

        Raises SettingError, naming the setting.
        """
        env = Env()
        try:
            return _read(env, create=create)
        except EnvError as error:
            raise SettingError(_readable(error)) from None


def _read(env: Env, *, create: bool) -> Settings:
    positive = Range(min=0, min_inclusive=False)
    data_dir = Path(env.str("PARLEY_DATA_DIR", "var")).resolve()
    if not create and not data_dir.is_dir():
        raise SettingError(
            f"PARLEY_DATA_DIR: there is no folder {data_dir}. Name the server's, or go where it was started."
        )
    _made(data_dir)
    settings = Settings(
        host=env.str("PARLEY_HOST", "127.0.0.1"),
        port=env.int("PARLEY_PORT", 8000, validate=Range(1, 65535)),
        data_dir=data_dir,
        database_url=_database_url(env, data_dir),
        database_pool=env.int("PARLEY_DATABASE_POOL", 10, validate=Range(1, 1000)),
        mongo_url=_url(env, "PARLEY_MONGO_URL"),
        redis_url=_url(env, "PARLEY_REDIS_URL"),
        redis_prefix=env.str("PARLEY_REDIS_PREFIX", "parley:", validate=Length(1, 100)),
        secret_key=env.str("PARLEY_SECRET_KEY", None, validate=Length(min=32)) or _kept_secret(data_dir),
        jwt_secret=env.str("PARLEY_JWT_SECRET", None, validate=Length(min=32)),
        cookie_secure=env.bool("PARLEY_COOKIE_SECURE", False),
        visitor_days=env.int("PARLEY_VISITOR_DAYS", 30, validate=Range(1, 3650)),
        openai_api_key=env.str("OPENAI_API_KEY", None) or None,
        openai_base_url=env.str("OPENAI_BASE_URL", None) or None,
        model=env.str("PARLEY_MODEL", "gpt-4o-mini", validate=Length(min=1)),
        model_retries=env.int("PARLEY_MODEL_RETRIES", 2, validate=Range(0, 10)),
        fallback=env.bool("PARLEY_FALLBACK", True),
        offline_pause=env.float("PARLEY_OFFLINE_PAUSE", 0.02, validate=Range(0, 10)),
        reply_timeout=env.float("PARLEY_REPLY_TIMEOUT", 30.0, validate=positive),
        idle_timeout=env.float("PARLEY_IDLE_TIMEOUT", 30.0, validate=positive),
        log_keep=env.float("PARLEY_LOG_KEEP", 3600.0, validate=positive),
        concurrency=env.int("PARLEY_CONCURRENCY", 200, validate=Range(1, 10_000)),
        shutdown_grace=env.float("PARLEY_SHUTDOWN_GRACE", 5.0, validate=Range(0, 3600)),
        log_level=env.str("PARLEY_LOG_LEVEL", "INFO", validate=OneOf(_LEVELS)),
        limits=_limits(env),
    )
    _refuse_unknown(os.environ)
    return settings


def _limits(env: Env) -> Limits:
    """`PARLEY_LIMIT_ROOMS` and so on, one for each bound of domain.limits.Limits."""
    defaults: dict[str, int] = asdict(Limits())
    return Limits(
        **{name: env.int(_limit_name(name), default, validate=Range(1)) for name, default in defaults.items()}
    )


def _limit_name(bound: str) -> str:
    return f"PARLEY_LIMIT_{bound.upper()}"


def _database_url(env: Env, data_dir: Path) -> str:
    url = _url(env, "PARLEY_DATABASE_URL")
    if url is None:
        return f"sqlite:///{data_dir / 'parley.db'}"
    if ":memory:" in url:
        raise SettingError("PARLEY_DATABASE_URL: must be a file (sqlite:////path/to/file.db) or a server.")
    return url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url


def _url(env: Env, name: str) -> str | None:
    """The URL of a server; what is wrong with it is said without showing it, for it may hold a password."""
    url = env.str(name, None) or None
    schemes = _SCHEMES[name]
    if url is None:
        return None
    if not url.startswith(schemes):
        raise SettingError(f"{name}: must begin with {' or '.join(schemes)}.")
    try:
        if "," not in url:  # More than one server, whose drivers read them by themselves.
            urlsplit(url).port  # noqa: B018 # raises for what is no number
    except ValueError:
        raise SettingError(f"{name}: cannot be read as a URL. Are the signs in its password percent-encoded?") from None
    return url


def _made(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingError(f"PARLEY_DATA_DIR: cannot write to {data_dir}: {error.strerror}.") from None


def _kept_secret(data_dir: Path) -> str:
    """The secret of this data folder, made on first use and readable by its owner alone."""
    path = data_dir / "secret_key"
    if not path.exists():
        # Written whole before it has its name: another process may be starting on the same folder.
        with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=".secret_") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, path)
    secret = path.read_text().strip()
    if len(secret) < 32:
        raise SettingError(f"PARLEY_SECRET_KEY: {path} holds no secret. Remove it, or set the variable.")
    return secret


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"PARLEY_{field.name.upper()}" for field in fields(Settings)} - _NOT_OURS
    known |= {_limit_name(bound.name) for bound in fields(Limits)}
    for name in environment:
        if name.startswith("PARLEY_") and name not in known:
            raise SettingError(f"{name}: there is no such setting. docs/settings.md lists them.")


def _readable(error: EnvError) -> str:
    """The library's `Environment variable "X" invalid: [...]` as `X: ...`."""
    text = str(error)
    name = text.split('"')[1] if text.count('"') >= 2 else "environment"
    reason = text.split(": ", 1)[-1].strip("[]'\"")
    return f"{name}: {reason}"
