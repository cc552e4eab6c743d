"""Every setting, from the environment: its name, its default, its bounds."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from environs import Env, EnvError
from marshmallow.validate import Length, OneOf, Range

from application.caching import Lifetimes
from domain.limits import Limits
from domain.rate_limits import Rate, RateLimitPolicy
from domain.retention import Retention
from domain.sessions import Lifetime

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_NOT_OURS = {
    "PARLEY_OPENAI_API_KEY",
    "PARLEY_OPENAI_BASE_URL",
    "PARLEY_LIMITS",
    "PARLEY_RATES",
    "PARLEY_CACHE_LIFETIMES",
    "PARLEY_RETENTION",
}

_SCHEMES = {
    "PARLEY_DATABASE_URL": ("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://"),
    "PARLEY_MONGO_URL": ("mongodb://", "mongodb+srv://"),
    "PARLEY_REDIS_URL": ("redis://", "rediss://", "unix://"),
}

_ORIGIN = re.compile(
    r"https://(?!.*:443$)([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    r"|http://(?!.*:80$)([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
)
"""As browsers write them (RFC 6454, section 6.2)."""


_LONGEST_CACHED = 30 * 24 * 3600

_LONGEST_KEPT = 3650
"""Days."""

_LONGEST_PAUSE = 31 * 24 * 3600.0


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
    secret_key_fallbacks: tuple[str, ...]
    jwt_secret: str | None
    jwt_secret_fallbacks: tuple[str, ...]
    jwt_jwks_url: str | None
    jwt_public_key_file: Path | None
    jwt_issuer: str | None
    jwt_audience: str | None
    jwt_leeway: float
    jwt_roles_claim: str
    cookie_secure: bool | None
    """None: when the request came over HTTPS."""
    proxies: int
    allowed_origins: frozenset[str]
    visitor_days: int
    openai_api_key: str | None
    openai_base_url: str | None
    model: str
    model_retries: int
    embedding_model: str | None
    """None: passages are found by their words alone."""
    embedding_dimensions: int | None
    embedding_base_url: str | None
    embedding_api_key: str | None
    embedding_floor: float
    fallback: bool
    offline_pause: float
    agents_file: Path | None
    reply_timeout: float
    idle_timeout: float
    log_keep: float
    session_total: float
    session_idle: float
    idempotency_keep: float
    concurrency: int
    jobs_concurrency: int
    shutdown_grace: float
    export_fonts: tuple[Path, ...]
    export_pdf_messages: int
    skills: str
    intents: str
    log_level: str
    log_format: str
    slow_query: float
    metrics_token: str | None
    metrics_host: str
    metrics_port: int | None
    """Of processes that serve nothing else; None: they show none."""
    limits: Limits
    rates: RateLimitPolicy
    cache_lifetimes: Lifetimes
    cache_bytes: int
    retention: Retention
    cleanup_every: float

    @property
    def has_model(self) -> bool:
        """Whether a language model is configured."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def embedding_server(self) -> tuple[str | None, str | None]:
        """The URL and key of what makes vectors: the model's, or another's, which is never sent the model's key."""
        if self.embedding_base_url is not None:
            return self.embedding_base_url, self.embedding_api_key
        return self.openai_base_url, self.embedding_api_key or self.openai_api_key

    @property
    def visitor_lifetime(self) -> timedelta:
        """How long a visitor's token is good."""
        return timedelta(days=self.visitor_days)

    @property
    def session_lifetime(self) -> Lifetime:
        """How long sessions last."""
        return Lifetime(total=timedelta(seconds=self.session_total), idle=timedelta(seconds=self.session_idle))

    @property
    def idempotency_lifetime(self) -> timedelta:
        """How long an idempotency key stands for the request that it came with first."""
        return timedelta(seconds=self.idempotency_keep)

    @classmethod
    def from_environment(cls, *, create: bool = True) -> Settings:
        """The settings of this process; a missing data folder, and a secret in it, are made if `create` says so.

        Without it the secret is empty where there is none yet. Raises SettingError, naming the setting.
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
    if create:
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
        secret_key=env.str("PARLEY_SECRET_KEY", None, validate=Length(min=32)) or _kept_secret(data_dir, create=create),
        secret_key_fallbacks=_secrets(env, "PARLEY_SECRET_KEY_FALLBACKS"),
        jwt_secret=env.str("PARLEY_JWT_SECRET", None, validate=Length(min=32)),
        jwt_secret_fallbacks=_secrets(env, "PARLEY_JWT_SECRET_FALLBACKS"),
        jwt_jwks_url=_jwks_url(env),
        jwt_public_key_file=Path(path) if (path := env.str("PARLEY_JWT_PUBLIC_KEY_FILE", None)) else None,
        jwt_issuer=env.str("PARLEY_JWT_ISSUER", None) or None,
        jwt_audience=env.str("PARLEY_JWT_AUDIENCE", None) or None,
        jwt_leeway=env.float("PARLEY_JWT_LEEWAY", 10.0, validate=Range(0, 300)),
        jwt_roles_claim=env.str("PARLEY_JWT_ROLES_CLAIM", "roles", validate=Length(1, 200)),
        cookie_secure=_cookie_secure(env),
        proxies=env.int("PARLEY_PROXIES", 0, validate=Range(0, 10)),
        allowed_origins=_origins(env),
        visitor_days=env.int("PARLEY_VISITOR_DAYS", 30, validate=Range(1, 3650)),
        openai_api_key=env.str("OPENAI_API_KEY", None) or None,
        openai_base_url=env.str("OPENAI_BASE_URL", None) or None,
        model=env.str("PARLEY_MODEL", "gpt-4o-mini", validate=Length(min=1)),
        model_retries=env.int("PARLEY_MODEL_RETRIES", 2, validate=Range(0, 10)),
        embedding_model=env.str("PARLEY_EMBEDDING_MODEL", None, validate=Length(max=150)) or None,
        embedding_dimensions=env.int("PARLEY_EMBEDDING_DIMENSIONS", None, validate=Range(1, 16_000)),
        embedding_base_url=env.str("PARLEY_EMBEDDING_BASE_URL", None) or None,
        embedding_api_key=env.str("PARLEY_EMBEDDING_API_KEY", None) or None,
        embedding_floor=env.float("PARLEY_EMBEDDING_FLOOR", 0.3, validate=Range(0, 1)),
        fallback=env.bool("PARLEY_FALLBACK", True),
        offline_pause=env.float("PARLEY_OFFLINE_PAUSE", 0.02, validate=Range(0, 10)),
        agents_file=_agents_file(env),
        reply_timeout=env.float("PARLEY_REPLY_TIMEOUT", 30.0, validate=positive),
        idle_timeout=env.float("PARLEY_IDLE_TIMEOUT", 30.0, validate=positive),
        log_keep=env.float("PARLEY_LOG_KEEP", 3600.0, validate=positive),
        session_total=env.float("PARLEY_SESSION_TOTAL", 24 * 3600.0, validate=positive),
        session_idle=env.float("PARLEY_SESSION_IDLE", 1800.0, validate=positive),
        idempotency_keep=env.float("PARLEY_IDEMPOTENCY_KEEP", 24 * 3600.0, validate=positive),
        concurrency=env.int("PARLEY_CONCURRENCY", 200, validate=Range(1, 10_000)),
        jobs_concurrency=env.int("PARLEY_JOBS_CONCURRENCY", 2, validate=Range(1, 100)),
        shutdown_grace=env.float("PARLEY_SHUTDOWN_GRACE", 5.0, validate=Range(0, 3600)),
        export_fonts=_fonts(env),
        export_pdf_messages=env.int("PARLEY_EXPORT_PDF_MESSAGES", 2_000, validate=Range(1, 1_000_000)),
        skills=env.str("PARLEY_SKILLS", "rules", validate=OneOf(("rules", "model"))),
        intents=env.str("PARLEY_INTENTS", "rules", validate=OneOf(("rules", "model", "off"))),
        log_level=env.str("PARLEY_LOG_LEVEL", "INFO", validate=OneOf(_LEVELS)),
        log_format=env.str("PARLEY_LOG_FORMAT", "auto", validate=OneOf(("auto", "json", "console"))),
        slow_query=env.float("PARLEY_SLOW_QUERY", 0.2, validate=Range(0, 3600)),
        metrics_token=env.str("PARLEY_METRICS_TOKEN", None, validate=Length(min=16)),
        metrics_host=env.str("PARLEY_METRICS_HOST", "127.0.0.1"),
        metrics_port=env.int("PARLEY_METRICS_PORT", None, validate=Range(1, 65535)),
        limits=_limits(env),
        rates=_rates(env),
        cache_lifetimes=_cache_lifetimes(env),
        cache_bytes=env.int("PARLEY_CACHE_BYTES", 64 * 1024 * 1024, validate=Range(0, 1024**4)),
        retention=_retention(env),
        cleanup_every=env.float("PARLEY_CLEANUP_EVERY", 24 * 3600.0, validate=Range(1, _LONGEST_PAUSE)),
    )
    _refuse_unknown(os.environ)
    _check_sign_in(settings)
    _check_embeddings(settings)
    return settings


def _check_embeddings(settings: Settings) -> None:
    if settings.embedding_model is not None and settings.embedding_server == (None, None):
        raise SettingError(
            "PARLEY_EMBEDDING_MODEL: needs a server. Set PARLEY_EMBEDDING_BASE_URL, OPENAI_BASE_URL or OPENAI_API_KEY."
        )


def _limits(env: Env) -> Limits:
    """`PARLEY_LIMIT_ROOMS` and so on, one for each bound of domain.limits.Limits."""
    defaults: dict[str, int] = asdict(Limits())
    return Limits(
        **{name: env.int(_limit_name(name), default, validate=Range(1)) for name, default in defaults.items()}
    )


def _limit_name(bound: str) -> str:
    return f"PARLEY_LIMIT_{bound.upper()}"


def _rates(env: Env) -> RateLimitPolicy:
    """`PARLEY_RATE_ASK_VISITOR` and so on, one for each rate of domain.rate_limits.RateLimitPolicy."""
    defaults = RateLimitPolicy()
    return RateLimitPolicy(
        **{rate.name: _rate(env, _rate_name(rate.name), getattr(defaults, rate.name)) for rate in fields(defaults)}
    )


def _rate(env: Env, name: str, default: Rate | None) -> Rate | None:
    text = env.str(name, "")
    try:
        return Rate.parse(text) if text else default
    except ValueError as wrong:
        raise SettingError(f"{name}: {wrong}") from None


def _rate_name(rate: str) -> str:
    return f"PARLEY_RATE_{rate.upper()}"


def _cache_lifetimes(env: Env) -> Lifetimes:
    """`PARLEY_CACHE_ANSWERS` and so on, one for each region of application.caching.Lifetimes."""
    defaults: dict[str, float] = asdict(Lifetimes())
    return Lifetimes(
        **{
            region: env.float(_cache_name(region), default, validate=Range(0, _LONGEST_CACHED))
            for region, default in defaults.items()
        }
    )


def _cache_name(region: str) -> str:
    return f"PARLEY_CACHE_{region.upper()}"


def _retention(env: Env) -> Retention:
    """`PARLEY_RETENTION_ROOMS` and so on, one for each kind of domain.retention.Retention, in days."""
    defaults: dict[str, int] = asdict(Retention())
    return Retention(
        **{
            kind: env.int(_retention_name(kind), default, validate=Range(0, _LONGEST_KEPT))
            for kind, default in defaults.items()
        }
    )


def _retention_name(kind: str) -> str:
    return f"PARLEY_RETENTION_{kind.upper()}"


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


def _listed(env: Env, name: str) -> list[str]:
    """The parts of a setting that names several, with commas between them."""
    return [part for part in map(str.strip, env.str(name, "").split(",")) if part]


def _secrets(env: Env, name: str) -> tuple[str, ...]:
    found = tuple(_listed(env, name))
    if any(len(secret) < 32 for secret in found):
        raise SettingError(f"{name}: each must be at least 32 characters long (a comma stands between two).")
    return found


def _agents_file(env: Env) -> Path | None:
    """Where more agents are described; what is in it is read when all tools are known."""
    name = env.str("PARLEY_AGENTS_FILE", None) or None
    if name is None:
        return None
    path = Path(name).resolve()
    if not path.is_file():
        raise SettingError(f"PARLEY_AGENTS_FILE: there is no file {path}.")
    return path


def _fonts(env: Env) -> tuple[Path, ...]:
    """More fonts for PDFs; whether there is one in a file is seen when it is used."""
    found = tuple(Path(name).resolve() for name in _listed(env, "PARLEY_EXPORT_FONTS"))
    for path in found:
        if not path.is_file() or path.suffix.lower() not in (".ttf", ".otf"):
            raise SettingError(f"PARLEY_EXPORT_FONTS: there is no font file (.ttf, .otf) {path}.")
    return found


def _jwks_url(env: Env) -> str | None:
    """Where keys are fetched from: what comes over the open network has to come over TLS."""
    url = env.str("PARLEY_JWT_JWKS_URL", None) or None
    if url is None:
        return None
    readable = re.fullmatch(r"[a-z]+://[!-?A-~]+", url)  # Without a name and password, so without an @.
    try:
        host = readable and urlsplit(url).port != 0 and urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise SettingError("PARLEY_JWT_JWKS_URL: must be a URL such as https://login.example/keys, without a password.")
    if not url.startswith("https:") and not (url.startswith("http:") and _is_near(host)):
        raise SettingError("PARLEY_JWT_JWKS_URL: must begin with https://; http:// is for private networks only.")
    return url


def _is_near(host: str) -> bool:
    """Whether a host is named as one is on this machine or a private network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan", ".svc", ".home.arpa"))


def _cookie_secure(env: Env) -> bool | None:
    return None if env.str("PARLEY_COOKIE_SECURE", "auto").lower() == "auto" else env.bool("PARLEY_COOKIE_SECURE")


def _origins(env: Env) -> frozenset[str]:
    origins = frozenset(origin.lower() for origin in _listed(env, "PARLEY_ALLOWED_ORIGINS"))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingError(
                "PARLEY_ALLOWED_ORIGINS: each must be an origin such as https://app.example: scheme, host, and the "
                "port if it is not the usual one; no path and no *."
            )
    return origins


def _check_sign_in(settings: Settings) -> None:
    """Refuse what contradicts itself about the host product's tokens."""
    if settings.jwt_secret_fallbacks and settings.jwt_secret is None:
        raise SettingError("PARLEY_JWT_SECRET_FALLBACKS: needs PARLEY_JWT_SECRET, which they stand in for.")
    if settings.jwt_jwks_url is not None and settings.jwt_public_key_file is not None:
        raise SettingError("PARLEY_JWT_PUBLIC_KEY_FILE: set this or PARLEY_JWT_JWKS_URL, not both.")
    if settings.jwt_issuer == "parley":
        raise SettingError("PARLEY_JWT_ISSUER: 'parley' is the issuer of Parley's own tokens.")


def _made(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # Another process may be starting on the same folder.
    except OSError as error:
        raise SettingError(f"PARLEY_DATA_DIR: cannot write to {data_dir}: {error.strerror}.") from None


def _kept_secret(data_dir: Path, *, create: bool) -> str:
    """The secret of this data folder, made on first use and readable by its owner alone."""
    path = data_dir / "secret_key"
    if not path.exists():
        if not create:
            return ""
        # Written whole before it has its name: another process may be starting on the same folder.
        with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=".secret_") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, path)
    try:
        secret = path.read_text().strip()
    except OSError as error:
        raise SettingError(f"PARLEY_SECRET_KEY: cannot read {path}: {error.strerror}.") from None
    if len(secret) < 32:
        raise SettingError(f"PARLEY_SECRET_KEY: {path} holds no secret. Remove it, or set the variable.")
    return secret


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"PARLEY_{field.name.upper()}" for field in fields(Settings)} - _NOT_OURS
    known |= {_limit_name(bound.name) for bound in fields(Limits)}
    known |= {_rate_name(rate.name) for rate in fields(RateLimitPolicy)}
    known |= {_cache_name(region.name) for region in fields(Lifetimes)}
    known |= {_retention_name(kind.name) for kind in fields(Retention)}
    for name in environment:
        if name.startswith("PARLEY_") and name not in known:
            raise SettingError(f"{name}: there is no such setting. docs/settings.md lists them.")


def _readable(error: EnvError) -> str:
    """The library's `Environment variable "X" invalid: [...]` as `X: ...`."""
    text = str(error)
    name = text.split('"')[1] if text.count('"') >= 2 else "environment"
    reason = text.split(": ", 1)[-1].strip("[]'\"")
    return f"{name}: {reason}"
