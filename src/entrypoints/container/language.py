"""What answers: the model that the settings choose, who answers in its place, and what makes vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.offline.responder import MODEL_AWAY, OfflineResponder
from adapters.openai.spaces import space_of
from application.ports.knowledge import Embedder
from application.ports.language import LanguageModel
from application.telemetry import Telemetry
from domain.agents import Agents
from entrypoints.settings import Settings

if TYPE_CHECKING:
    pass


def model(settings: Settings, telemetry: Telemetry, agents: Agents) -> LanguageModel:
    if not settings.has_model:
        return OfflineResponder(pause=settings.offline_pause)
    # Imported here because the SDK takes half a second, which an installation without a model need not wait for.
    from adapters.openai.model import OpenAIModel

    return OpenAIModel(
        # Servers of one's own often want no key, and the SDK insists on one.
        api_key=settings.openai_api_key or "none",
        base_url=settings.openai_base_url,
        model=settings.model,
        others=[agent.model for agent in agents.values() if agent.model is not None],
        retries=settings.model_retries,
        idle_timeout=settings.idle_timeout,
        metrics=telemetry.metrics,
    )


def fallback(settings: Settings) -> LanguageModel | None:
    if not settings.has_model or not settings.fallback:
        return None
    return OfflineResponder(preface=MODEL_AWAY, pause=settings.offline_pause)


def embedding_space(settings: Settings) -> str | None:
    """See Embedder.space; None where nothing is embedded."""
    if settings.embedding_model is None:
        return None
    return space_of(settings.embedding_model, settings.embedding_dimensions)


def embedder(settings: Settings, *, hurried: bool = False) -> Embedder | None:
    """What makes vectors of documents, with patience; `hurried`: of questions, whose askers wait."""
    if settings.embedding_model is None:
        return None
    from adapters.openai.embeddings import OpenAIEmbedder

    base_url, api_key = settings.embedding_server
    return OpenAIEmbedder(
        api_key=api_key or "none",
        base_url=base_url,
        model=settings.embedding_model,
        dimensions=settings.embedding_dimensions,
        retries=0 if hurried else settings.model_retries,
        timeout=3.0 if hurried else 60.0,
    )
