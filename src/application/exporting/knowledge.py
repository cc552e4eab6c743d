"""What an import does with projects, documents and job analyses."""

from __future__ import annotations

from dataclasses import dataclass

from application.exporting.placing import Places, kept
from application.knowledge.documents import fingerprint_of
from application.knowledge.ingesting import queue_reading
from application.ports.exporting import Kind
from application.ports.persistence import Document, StartWork
from application.ports.runtime import NewId, Now
from domain.deletions import Subject
from domain.errors import Invalid, NotFound
from domain.events import ProjectChanged
from domain.identity import SYSTEM, PrincipalKind
from domain.job_analyses import AnalysisStatus, JobAnalysis
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import Project
from domain.limits import Limits


@dataclass(frozen=True, slots=True)
class KnowledgeImport:
    """One way through the knowledge of a file; each tells whether something was there already."""

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits
    places: Places

    def project(self, record: Document) -> bool:
        """One that its owner has under the same key is the same: a fresh installation has one of its own already."""
        places, owner = self.places, self.places.owner_of(record)
        if owner.startswith(f"{PrincipalKind.VISITOR}:"):
            raise Invalid({"owner": "Visitors keep no projects."})
        with self.start_work() as work:
            project_id, is_present = places.place(work, Kind.PROJECT, record["id"], owner)
            deletion = places.deletion(work, record, owner, Subject.PROJECT, project_id, is_present=is_present)
            if not is_present and deletion is None and (same := work.projects.keyed(owner, record["key"])) is not None:
                places.ids[record["id"]] = same.id
                return True
            if is_present:
                return True
            project = Project(
                **kept(record, "key", "name", "description", "visibility", "metadata", "created_at", "updated_at"),
                id=project_id,
                owner=owner,
            )
            project.record(ProjectChanged(subject_id=project_id, at=self.now()))
            if deletion is None:
                project.require_place(work.projects.count(owner) + places.taken[f"projects {owner}"], self.limits)
            places.projects[project_id] = project
            places.add(project_id, owner, is_deleted=deletion is not None, of=f"projects {owner}")
            if places.writes:
                work.projects.add(project)
                places.delete(work, project, deletion)
                work.commit()
        return False

    def document(self, record: Document) -> bool:
        """What is added is read in by a job, as if it had been uploaded."""
        places, owner = self.places, self.places.owner_of(record)
        project_id = places.called(record["project_id"])
        assert project_id is not None  # noqa: S101 # the record's is none of those that may be
        with self.start_work() as work:
            document_id, is_present = places.place(work, Kind.DOCUMENT, record["id"], owner)
            deletion = places.deletion(work, record, owner, Subject.DOCUMENT, document_id, is_present=is_present)
            if is_present:
                return True
            project = None if places.writes else places.projects.get(project_id)
            if project is None:
                try:
                    project = work.projects.get(project_id, for_=SYSTEM, deleted=None)
                except NotFound:
                    raise Invalid({"project_id": "Must be a project that is further up in the file."}) from None
                if deletion is None and work.documents.named(project_id, record["name"]) is not None:
                    return True
            if project.owner != owner:
                raise Invalid({"project_id": "Must be a project of the same owner."})
            content: bytes = record["content"]
            so_far = work.documents.count(project_id) + places.taken[f"documents {project_id}"]
            document = KnowledgeDocument.add(
                **kept(record, "name", "media_type", "metadata"),
                id=document_id,
                project=project,
                title=record["title"] or None,
                size=len(content),
                fingerprint=fingerprint_of(content),
                documents_so_far=so_far if deletion is None else 0,
                limits=self.limits,
                now=record["created_at"],
            )
            places.add(document_id, owner, is_deleted=deletion is not None, of=f"documents {project_id}")
            if places.writes:
                work.documents.add(document)
                work.documents.keep_content(document_id, content)
                if deletion is None:
                    queue_reading(work, document, self.new_id(), self.now())
                places.delete(work, document, deletion)
                work.commit()
        return False

    def job_analysis(self, record: Document) -> bool:
        """One that had not ended failed: the file that it waited for is not in an export."""
        places, owner = self.places, self.places.owner_of(record)
        with self.start_work() as work:
            analysis_id, is_present = places.place(work, Kind.JOB_ANALYSIS, record["id"], owner)
            deletion = places.deletion(work, record, owner, Subject.JOB_ANALYSIS, analysis_id, is_present=is_present)
            if is_present:
                return True
            places.look_for_projects(work, [record["project_id"]], owner)
            analysis = JobAnalysis(
                **kept(record, "title", "text", "file", "score", "matched", "missing", "result"),
                **kept(record, "created_at", "updated_at", "finished_at"),
                **self._ended(record),
                id=analysis_id,
                owner=owner,
                project_id=places.project_of(record["project_id"], owner),
            )
            if deletion is None:
                so_far = work.job_analyses.count(owner) + places.taken[f"analyses {owner}"]
                analysis.require_place(so_far, self.limits)
            places.add(analysis_id, owner, is_deleted=deletion is not None, of=f"analyses {owner}")
            if places.writes:
                work.job_analyses.add(analysis)
                places.delete(work, analysis, deletion)
                work.commit()
        return False

    def _ended(self, record: Document) -> Document:
        if record["status"] is not AnalysisStatus.QUEUED:
            return kept(record, "status", "error")
        self.places.note(f"The job analysis {record['id']} had not ended: ask for it again.")
        error = {"code": "not_analysed", "message": "It had not ended when it was exported."}
        return {"status": AnalysisStatus.FAILED, "error": error}
