"""What stands around a word: whether it is the name of a skill there, and whether that is denied.

English by what is most usual, German, Spanish and French by their basics.
"""

from __future__ import annotations

import re

_AND = r"(?:and|or|und|oder|sowie|y|o|e|et|ou|und/oder|and/or|as well as|plus|,\s*(?:and|or|e\.g\.))"
_DETAIL = r"[*_`]{0,3}(?:\s+v?\d[\d.x]*\+?)?(?:\s*\([^()\n]{0,40}\))?"
"""A version, or something in brackets, behind a skill's name."""
_BESIDE = re.compile(rf"{_DETAIL}\s*(?:[,;/|&+•·(]|\s-\s|\b{_AND}\b)\s*(?:{_AND}\s+)?[*_`]{{0,3}}", re.IGNORECASE)

SHORT = 2
"""Letters of a name that is easily a part of something else."""

_AROUND = 80
"""Characters around a word in which it is looked for what speaks for it."""

_BULLET = re.compile(r"\s*(?:[-*•·–+▪◦‣o]\s+|\d{1,2}[.)]\s+|#{1,6}\s+)?(?!```)[*_`\"'(]*")
_ITEM_END = re.compile(r"[*_`\"')]*\s*(?:\([^()]*\)|[:–—-]\s*\d.*|\d[\d.x+]*)?[*_`]*\s*[.,;)]?\s*")

_OF_SKILLS = (
    r"experience|knowledge|proficien\w+|fluen\w+|skills?|skilled|expert(?:ise)?|background|versed|familiar(?:ity)?|"
    r"competen\w+|understanding|command|grasp|Kenntnisse\w*|Erfahrung\w*|conocimientos?|experiencia|dominio|"
    r"connaissances?|expérience|maîtrise"
)
_USED = (
    r"written|writing|developed|develop\w*|programmed|programming|program|coding|coded|code|built|build|building|"
    r"implemented|based|work\w*|using|use|uses|used|know|learn|entwickel\w*|programmier\w*|geschrieben|desarroll\w+|"
    r"programación|développ\w+|programmation"
)
_JOINED = r"with|in|of|using|on|for|as|like|mit|auf|von|con|en|de|avec|sur|und"
_BEFORE = re.compile(
    rf"\b(?:{_OF_SKILLS}|{_USED}|languages?|frameworks?|technolog\w+|tools?|stack|Sprachen?|lenguajes?|langages?)"
    rf"(?:\s+(?:{_JOINED}|such as|e\.g\.|the|modern|idiomatic|advanced|basic))*[\s:(]*$"
    rf"|\b(?:using|with|in|mit|avec|con)\s+(?:modern\s+|idiomatic\s+|advanced\s+)?$"
    rf"|\b(?:use|uses|used|know|knows|love|speak)\s+$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?:\s+|-)(?:\d[\d.]*\s+)?(?:developers?|engineers?|programm\w+|coders?|languages?|back-?ends?|front-?ends?|services?|"
    r"microservices?|code|codebases?|applications?|apps?|components?|modules?|packages?|libraries|scripts?|scripting|"
    r"development|frameworks?|experience|knowledge|skills?|stack|ecosystem|APIs?|clusters?|tests?|testing|pipelines?|"
    r"dashboards?|jobs?|databases?|expertise|proficiency|Entwickl\w+|Kenntnisse|Programm\w+|basics|runtime|core)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\b(?:skills?|languages?|technolog\w+|stack|tools?|tech|back-?end|front-?end|frameworks?|databases?|programming|"
    r"Kenntnisse|Sprachen|Programmiersprachen|Technologien|lenguajes|tecnologías|langages|outils|compétences)\b[^.:\n]{0,30}"
    r":[\s*_]*$",
    re.IGNORECASE,
)

_ANY_LABEL = re.compile(r"\s*(?:[-*•]\s+)?[*_]*[^:;.\n]{2,40}:[\s*_]*$|.*;\s*[^:;.\n]{2,40}:[\s*_]*$")
_LISTED_ON = re.compile(rf"{_DETAIL}[*_]*\s*(?:[,;/|.)]|\b{_AND}\b|$)", re.IGNORECASE)

_LEVEL = (
    r"[ABC][12]\b|native|fluen\w*|proficien\w*|business|conversational|verhandlungssicher\w*|fließend\w*|flüssig\w*"
)
_SPOKEN_BEFORE = re.compile(
    rf"\b(?:{_LEVEL}|speak\w*|spoken|written|good|very good|excellent|strong|basic|command|level|languages?|knowledge|"
    r"gute?s?|sehr gute?s?|Sprachen?|Kenntnisse|Muttersprache|nivel|dominio|hablar|idiomas?|maîtrise|parler|langues?|"
    r"bon|second|mother tongue|bilingual)"
    r"(?:\s+(?:level|of|in|the|on|und|en|de|du|spoken|written|and|or|language|skills))*"
    r"[\s:(]*$",
    re.IGNORECASE,
)
_SPOKEN_AFTER = re.compile(
    rf"[\s(,:–-]*(?:and written |in Wort|level |at )?(?:{_LEVEL}|language|skills?|speak\w*|native|required|mandatory|"
    r"preferred|is (?:a |an )?(?:plus|must|required|advantage|bonus)|a plus|knowledge|Kenntnisse|in Wort und Schrift|"
    r"von Vorteil|alto|fluido|avanzado|nativo|courant|bilingue|professionnel|spoken|erforderlich|wünschenswert)\b",
    re.IGNORECASE,
)


def is_spoken_of(text: str, start: int, end: int, *, as_language: bool) -> bool:
    """Whether what stands around a word says that it names a skill, or a language that people speak."""
    before = text[max(text.rfind("\n", 0, start) + 1, start - _AROUND) : start]
    if _ANY_LABEL.match(before) and _LISTED_ON.match(text, end, _line_end(text, end)):
        return True
    if as_language:
        return bool(_SPOKEN_BEFORE.search(before) or _SPOKEN_AFTER.match(text, end, end + _AROUND))
    return bool(_BEFORE.search(before) or _AFTER.match(text, end, end + _AROUND) or _LABEL.search(before))


def are_listed(text: str, begin: int, end: int) -> bool:
    """Whether between two names there is only what stands between those of a list."""
    return end - begin <= _AROUND and bool(_BESIDE.fullmatch(text, begin, end))


def is_whole_item(text: str, start: int, end: int) -> bool:
    """Whether its line says nothing else."""
    begin, stop = text.rfind("\n", 0, start) + 1, _line_end(text, end)
    if start - begin > _AROUND or stop - end > _AROUND:
        return False
    return bool(_BULLET.fullmatch(text, begin, start)) and bool(_ITEM_END.fullmatch(text, end, stop))


def is_glued(text: str, start: int, end: int) -> bool:
    """Whether a name of a letter or two is a part of something longer: R&D, C-level, vitamin-C, Q.R."""
    if end - start > SHORT:
        return False
    before, after = text[start - 1 : start], text[end : end + 1]
    if before in {"&", "-", "'", "’", "$", "."} or after in {"&", "-", "'", "’", "<"}:
        return True
    return after == "." and text[end + 1 : end + 2].isalnum()


_NO = re.compile(
    r"\b(?:no|not|without|never|neither|nor|kein\w*|ohne|nicht|sin|ningún|ninguna|sans|aucune?|pas de|pas d['’])\b"
    r"(?!\s+(?:only|limited|just|nur|sólo|solo|seulement)\b)(?!-)[^.,;:!?()\n]{0,50}$",
    re.IGNORECASE,
)
_NOT_NEEDED = re.compile(
    r"[^.,;:!?\n]{0,30}?\b(?:(?:is|are) (?:not|n['’]t)|isn['’]t|aren['’]t|not) (?:strictly |absolutely )?"
    r"(?:required|needed|necessary|mandatory|a must)"
    r"|[^.,;:!?\n]{0,30}?\b(?:nicht (?:erforderlich|notwendig|nötig)|no es necesari[oa]|pas (?:requis|nécessaire))",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether it is said that this skill is not there, or is not asked for."""
    return bool(_NO.search(text, max(0, start - _AROUND), start) or _NOT_NEEDED.match(text, end, end + _AROUND))


def _line_end(text: str, start: int) -> int:
    stop = text.find("\n", start)
    return stop if stop >= 0 else len(text)
