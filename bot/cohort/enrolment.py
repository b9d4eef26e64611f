"""Coming in: names that a board can show, and aliases for those who would rather not be named."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container
from itertools import count

from bot.cohort.refusals import NameTaken, NameTooLong, NoName
from content.model import Privacy

LONGEST_NAME = 32
"""As long as Discord's own."""


PLAIN = 8
"""Aliases that are tried before they get a number; as many again, before it gets another digit."""

_JOINERS = "\u200c\u200d"
"""Emoji are joined by one of them, Persian and Indian letters parted by the other."""

_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
"""What draws nothing and yet counts as letter, mark or symbol, such as the filler that Discord's nameless use."""

_UNSEEN = re.compile(f"[{_JOINERS}\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""What a name may hold, but two names cannot differ by."""


def name(typed: str) -> str:
    """The name as it will be shown: one line, no invisible characters. Raises NoName or NameTooLong."""
    words = " ".join(_BLANK.sub("", typed).split())
    shown = "".join(character for character in words if _may_stand(character)).strip(f"{_JOINERS} ")
    shown = unicodedata.normalize("NFC", " ".join(shown.split()))
    # A mark (M) alone has nothing to stand on.
    if not any(unicodedata.category(character)[0] in "LNPS" or _young(character) for character in shown):
        raise NoName
    if len(shown) > LONGEST_NAME:
        raise NameTooLong(len(shown), LONGEST_NAME)
    return shown


def _may_stand(character: str) -> bool:
    # Control and format characters (Cc, Cf, such as direction overrides) could make one name look like another.
    return character in _JOINERS or _young(character) or unicodedata.category(character)[0] != "C"


def _young(character: str) -> bool:
    """An emoji, maybe, that this Python has not heard of: 3.11 knows none younger than 2021."""
    return "\U0001f000" <= character <= "\U0001faff" and unicodedata.category(character) == "Cn"


def folded(shown: str) -> str:
    """Names that fold to the same text cannot be told apart on a board."""
    seen = unicodedata.normalize("NFKC", _UNSEEN.sub("", shown)).casefold()
    return unicodedata.normalize("NFKC", seen)


def check_free(shown: str, taken: Container[str]) -> None:
    """`taken` holds folded names. Raises NameTaken."""
    if folded(shown) in taken:
        raise NameTaken(shown)


def alias(privacy: Privacy, seed: str, taken: Container[str]) -> str:
    """Two words from the guide's lists, the same for the same seed, and free; where most pairs are taken, with a
    number. Says nothing of the person."""
    adjectives, nouns = privacy.aliases_adjectives, privacy.aliases_nouns
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
    pairs = len(adjectives) * len(nouns)

    def attempt(number: int) -> str:
        # 7919 is prime and larger than either list, so that neighbours differ in both words.
        adjective, noun = divmod((start + number * 7919) % pairs, len(nouns))
        found = f"{adjectives[adjective]} {nouns[noun]}"
        # Of thousands, each pair is somebody's: to ask the database for every one of them would take seconds.
        most = 10 ** (number // PLAIN) - 1
        return f"{found} {2 + (start // pairs + number) % most}" if most else found

    return next(found for found in map(attempt, count()) if folded(found) not in taken)
