"""The people of the local chat: whoever sits at the browser acts as one of them, tab by tab."""

from __future__ import annotations

from dataclasses import dataclass

from bot.ledger import Account

NINETY = "ninety"
"""The author of what the bot says; no person may be called so."""


@dataclass(frozen=True)
class Person:
    user: str
    name: str
    zone: str
    """What they would tell when joining, an IANA name."""
    organiser: bool = False
    simulated: bool = False
    """Checks in by themselves; can be looked at, not acted as."""

    def __post_init__(self) -> None:
        if not self.user or self.user == NINETY:
            raise ValueError(f"a person cannot be called {self.user!r}; give them another id")

    @property
    def account(self) -> Account:
        return Account("local", "", self.user)
