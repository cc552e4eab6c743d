"""What answers: the model that the settings choose, and who answers in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.offline.responder import MODEL_AWAY, OfflineResponder
from application.ports.language import LanguageModel
from entrypoints.settings import Settings

if TYPE_CHECKING:
    pass


def model(settings: Settings) -> LanguageModel:
    if not settings.has_model:
        return OfflineResponder(pause=settings.offline_pause)
    # Imported here because the SDK takes half a second, which an installation without a model need not wait for.
    from adapters.openai.model import OpenAIModel

    return OpenAIModel(
        # Servers of one's own often want no key, and the SDK insists on one.
        api_key=settings.openai_api_key or "none",
        base_url=settings.openai_base_url,
        model=settings.model,
        retries=settings.model_retries,
        idle_timeout=settings.idle_timeout,
    )


def fallback(settings: Settings) -> LanguageModel | None:
    if not settings.has_model or not settings.fallback:
        return None
    return OfflineResponder(preface=MODEL_AWAY, pause=settings.offline_pause)
