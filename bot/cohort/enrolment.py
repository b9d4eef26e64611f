"""Coming in: names that a board can show, and aliases for those who would rather not be named."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Container

from bot.cohort.refusals import NameTaken, NameTooLong, NoName
from content.model import Privacy

LONGEST_NAME = 32
"""As long as Discord's own."""


def name(typed: str) -> str:
    """The name as it will be shown: one line, no invisible characters. Raises NoName or NameTooLong."""
    # Control and format characters (Cc, Cf: line breaks, direction overrides) could make one name look like another.
    # The joiner inside emoji is spared.
    shown = "".join(c for c in unicodedata.normalize("NFC", typed)
                    if c == "\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    shown = " ".join(shown.split())
    if not shown.strip("\u200d "):
        raise NoName
    if len(shown) > LONGEST_NAME:
        raise NameTooLong(len(shown), LONGEST_NAME)
    return shown


def folded(shown: str) -> str:
    """Names that fold to the same text cannot be told apart on a board."""
    return unicodedata.normalize("NFKC", shown).casefold()


def check_free(shown: str, taken: Container[str]) -> None:
    """`taken` holds folded names. Raises NameTaken."""
    if folded(shown) in taken:
        raise NameTaken(shown)


def alias(privacy: Privacy, seed: str, taken: Container[str]) -> str:
    """Two words from the guide's lists, the same for the same seed, and free. Says nothing of the person."""
    adjectives, nouns = privacy.aliases_adjectives, privacy.aliases_nouns
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
    pairs = len(adjectives) * len(nouns)
    for step in range(pairs):
        # 7919 is prime and larger than either list, so that neighbours differ in both words.
        adjective, noun = divmod((start + step * 7919) % pairs, len(nouns))
        found = f"{adjectives[adjective]} {nouns[noun]}"
        if folded(found) not in taken:
            return found
    number = 2
    while folded(found := f"{adjectives[start % len(adjectives)]} {nouns[start % len(nouns)]} {number}") in taken:
        number += 1
    return found
