"""A read store in memory, which can be told to be away. Obeys ReadModelsContract."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from application.ports.projections import Model, ReadModelsUnavailable, Snapshot


class MemoryReadModels:
    """See application.ports.projections.ReadModels."""

    def __init__(self) -> None:
        self.away = False
        self.saves = 0  # calls of save
        self._kept: dict[Model, dict[UUID, Snapshot]] = {model: {} for model in Model}
        self._progress: dict[str, str] = {}
        self.is_complete = False

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        self._require_answer()
        self.saves += 1
        for snapshot in snapshots:
            kept = self._kept[snapshot.model].get(snapshot.id)
            if kept is None or kept.version < snapshot.version:
                self._kept[snapshot.model][snapshot.id] = copy.deepcopy(snapshot)

    def of(self, model: Model, ids: Collection[UUID]) -> Sequence[Snapshot]:
        self._require_answer()
        return [copy.deepcopy(self._kept[model][thing]) for thing in ids if thing in self._kept[model]]

    def holds(self, model: Model, thing: UUID) -> bool:
        self._require_answer()
        return thing in self._kept[model]

    def ids_after(self, model: Model, after: UUID | None, *, limit: int) -> Sequence[UUID]:
        self._require_answer()
        ids = sorted(self._kept[model], key=str)
        return [thing for thing in ids if after is None or str(thing) > str(after)][:limit]

    def remove(self, model: Model, ids: Collection[UUID]) -> None:
        self._require_answer()
        for thing in ids:
            self._kept[model].pop(thing, None)

    def prepare(self) -> None:
        self._require_answer()

    @property
    def progress(self) -> Mapping[str, str]:
        self._require_answer()
        return self._progress

    def note_progress(self, progress: Mapping[str, str]) -> None:
        self._require_answer()
        self._progress = dict(progress)

    def complete(self) -> None:
        self._require_answer()
        self.is_complete, self._progress = True, {}

    def declare_incomplete(self) -> None:
        self._require_answer()
        self.is_complete, self._progress = False, {}

    def check(self) -> None:
        self._require_answer()
        if not self.is_complete:
            raise ReadModelsUnavailable("The read models are not complete. Run: parley projections rebuild")

    def _require_answer(self) -> None:
        if self.away:
            raise ReadModelsUnavailable("The read store is away.")
