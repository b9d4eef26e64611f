"""Citations, `[@id]` in any text of the guide: found for the site, taken out cleanly for chat."""

from __future__ import annotations

import re

from content.model import SourceId

CITATION = re.compile(r"\[@(?P<id>[^\s\[\]]+)\](?!\()")
"""One citation; `[@name](https://…)` is a link and none. It takes wrong ids too, so that loading can refuse them."""

_ONE = r"\[@[^\s\[\]]+\](?!\()"
_RUN = rf"{_ONE}(?:[ \t]*[,;]?[ \t]*{_ONE})*"
_RUNS = rf"(?: \( {_RUN} \) | {_RUN} )"
_STRIPPED = re.compile(
    rf"""
      (?<=\S) [ \t]*\n[ \t]* {_RUNS} (?= [.,;:!?)] | [ \t]*(?:\n|\Z) )      # wrapped away from the sentence it ends
    | ^ (?P<indent> [ \t]* ) {_RUNS} [ \t]*                                 # first on its line
    | (?: (?<=\S) [ \t]+ )? {_RUNS}                                         # anywhere else
    """,
    re.VERBOSE | re.MULTILINE,
)


def citations(text: str) -> tuple[SourceId, ...]:
    """Ids in the order they are cited, each as often as it is."""
    return tuple(match["id"] for match in CITATION.finditer(text))


def strip(text: str) -> str:
    """The text without its citations, and without the space, brackets or commas that stood for them only."""
    # Taking one out can bring another together, as in "[[@a]@b]", so we go on until nothing is left.
    while (stripped := _STRIPPED.sub(lambda match: match["indent"] or "", text)) != text:
        text = stripped
    return text
