"""Sketches of the platforms' pages for developers: what to press, what to copy. Drawings, not screenshots.

As SVG they weigh two thousand bytes each, which matters for the first ones on the page. Each face of letters has other
widths, so whatever stands in a box has room there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WIDTH = 390
_STYLE = """
text { font: 14px system-ui, "Noto Sans", sans-serif; fill: #dfe0e2 }
.ground { fill: #14161a } .pane { fill: #22252b; stroke: #565c66; stroke-width: 1.5; stroke-dasharray: 4 3 }
.line { stroke: #565c66; stroke-width: 1.5; stroke-dasharray: 4 3 } .grey { fill: #3a3e47 }
.press { fill: #2f5f55; stroke: #7ce0c3; stroke-width: 2 } .field { fill: #14161a; stroke: #7ce0c3; stroke-width: 2 }
.disc { fill: #7ce0c3 } text.number { fill: #10211d; font-weight: 700; font-size: 13px; text-anchor: middle }
text.button { fill: #fff; font-weight: 600; text-anchor: middle } text.name { fill: #f2f3f5; font-weight: 600 }
text.hint { fill: #a5a7af; font-size: 13px } .mark { fill: none; stroke: #7ce0c3; stroke-width: 2.2 }
.off { fill: #4a4f59 } .knob { fill: #dfe0e2 }
""".replace("\n", " ").strip()


@dataclass(frozen=True)
class Sketch:
    svg: str
    height: int


def _pane(x: int, y: int, width: int, height: int) -> str:
    return f'<rect class="pane" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>'


def _bar(words: str) -> str:
    """The head of a pane that begins at the top left."""
    return f'{_text("hint", 28, 36, words)}<path class="line" d="M14 48h362"/>'


def _text(kind: str, x: int, y: int, words: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{words}</text>'


def _grey(x: int, y: int, width: int) -> str:
    return f'<rect class="grey" x="{x}" y="{y}" width="{width}" height="9" rx="4.5"/>'


def _number(number: int, x: int, y: int) -> str:
    return f'<circle class="disc" cx="{x}" cy="{y}" r="11"/>{_text("number", x, y + 5, str(number))}'


def _button(x: int, y: int, width: int, words: str) -> str:
    return (f'<rect class="press" x="{x}" y="{y}" width="{width}" height="32" rx="8"/>'
            f'{_text("button", x + width // 2, y + 21, words)}')


def _field(x: int, y: int, width: int, words: str) -> str:
    return (f'<rect class="field" x="{x}" y="{y}" width="{width}" height="32" rx="8"/>'
            f'{_text("value", x + 12, y + 21, words)}')


def _switch(y: int, words: str) -> str:
    return (f'{_text("value", 132, y, words)}<rect class="off" x="324" y="{y - 14}" width="36" height="19" rx="9.5"/>'
            f'<circle class="knob" cx="334" cy="{y - 4.5}" r="6.5"/>')


def _tick(y: int, words: str) -> str:
    return f'<path class="mark" d="M56 {y - 5}l4 5 8-10"/>{_text("value", 80, y, words)}'


def _box(x: int, y: int) -> str:
    return f'<rect class="mark" x="{x}" y="{y}" width="17" height="17" rx="4"/>'


def _sketch(height: int, *parts: str) -> Sketch:
    return Sketch(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
        f'<style>{_STYLE}</style><rect class="ground" width="{WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n',
        height)


_DISCORD: Mapping[str, Sketch] = {
    "new-application": _sketch(
        374,
        _pane(14, 14, 362, 142), _bar("discord.com/developers/applications"),
        _text("name", 28, 88, "Applications"), _number(1, 196, 83), _button(214, 67, 148, "New Application"),
        _grey(28, 116, 300), _grey(28, 135, 240),
        _pane(36, 170, 318, 190), _text("name", 50, 196, "Create an application"), _text("hint", 50, 220, "Name"),
        _number(2, 61, 245), _field(80, 229, 230, "Ninety"),
        _number(3, 61, 284), _box(81, 275), _text("value", 108, 289, "I agree to the developer terms"),
        _number(4, 248, 328), _button(266, 312, 74, "Create")),
    "bot-page": _sketch(
        340,
        _pane(14, 14, 362, 312), _bar("Your application"),
        _grey(28, 70, 64), _grey(28, 92, 80), _number(1, 39, 125), _text("name", 58, 130, "Bot"),
        '<path class="mark" d="M58 137h26"/>', _grey(28, 152, 72), _grey(28, 174, 54),
        _text("name", 132, 80, "Token"), _number(2, 143, 107), _button(162, 91, 118, "Reset Token"),
        _number(3, 143, 148), _field(162, 132, 120, "MTA••••••••"), _button(292, 132, 70, "Copy"),
        _text("name", 132, 196, "Privileged Gateway Intents"), _switch(222, "Presence Intent"),
        _switch(249, "Server Members Intent"), _switch(276, "Message Content Intent"),
        _text("hint", 132, 306, "Leave all three off.")),
    "invite": _sketch(
        418,
        _pane(36, 14, 318, 206), _text("hint", 50, 40, "An app"), _text("name", 50, 63, "Ninety"),
        _text("hint", 50, 84, "wants to join your server"), _text("name", 50, 114, "Add to server"),
        _number(1, 61, 141), _field(80, 125, 240, "Your server"), '<path class="mark" d="M294 138l6 6 6-6"/>',
        _number(2, 220, 190), _button(238, 174, 102, "Continue"),
        _pane(36, 234, 318, 170), _text("name", 50, 260, "These permissions, and no others"),
        _tick(288, "View Channel"), _tick(314, "Send Messages"), _tick(340, "Read Message History"),
        _number(3, 214, 374), _button(232, 358, 108, "Authorize")),
}
_SLACK: Mapping[str, Sketch] = {
    "new-app": _sketch(
        470,
        _pane(14, 14, 362, 106), _bar("api.slack.com/apps"),
        _text("name", 28, 86, "Your Apps"), _number(1, 188, 81), _button(206, 65, 156, "Create New App"),
        _pane(36, 134, 318, 96), _text("name", 50, 160, "Create an app"),
        _number(2, 61, 195), _field(80, 179, 230, "From a manifest"),
        _pane(36, 244, 318, 212), _text("hint", 50, 270, "Workspace"),
        _number(3, 61, 295), _field(80, 279, 240, "Your workspace"), '<path class="mark" d="M294 292l6 6 6-6"/>',
        _text("hint", 50, 336, "Manifest, tab YAML"),
        _number(4, 61, 383), '<rect class="field" x="80" y="346" width="240" height="56" rx="8"/>',
        _text("value", 92, 369, "_metadata:"), _text("value", 104, 389, "major_version: 1 …"),
        _number(5, 178, 430), _button(196, 414, 64, "Next"), _button(268, 414, 72, "Create")),
    "bot-token": _sketch(
        302,
        _pane(14, 14, 362, 274), _bar("Your app"),
        _text("hint", 28, 77, "Features"), _grey(28, 92, 64), _number(1, 39, 125),
        _text("name", 58, 122, "OAuth &amp;"), _text("name", 58, 140, "Permissions"),
        '<path class="mark" d="M58 147h94"/>', _grey(28, 166, 72), _grey(28, 188, 54),
        _text("name", 164, 80, "OAuth Tokens"), _number(2, 175, 107), _button(194, 91, 168, "Install to …"),
        _text("hint", 164, 153, "Slack asks once more"), _number(3, 175, 178), _button(194, 162, 76, "Allow"),
        _text("hint", 164, 224, "Bot User OAuth Token"), _number(4, 175, 249), _field(194, 233, 92, "xoxb-•••"),
        _button(294, 233, 68, "Copy")),
    "app-token": _sketch(
        404,
        _pane(14, 14, 362, 136), _bar("Your app"),
        _number(1, 39, 81), _text("name", 58, 79, "Basic"), _text("name", 58, 97, "Information"),
        '<path class="mark" d="M58 104h94"/>', _grey(28, 124, 64),
        _text("name", 164, 80, "App-Level Tokens"), _number(2, 175, 110),
        _button(194, 94, 168, "Generate Token"),
        _pane(36, 164, 318, 142), _text("hint", 50, 190, "Token name"), _number(3, 61, 215),
        _field(80, 199, 240, "ninety"), _number(4, 61, 263), _field(80, 247, 158, "connections:write"),
        _button(246, 247, 94, "Generate"), _text("hint", 80, 296, "the one scope, from Add Scope"),
        _pane(36, 320, 318, 70), _number(5, 61, 355), _field(80, 339, 180, "xapp-••••••"),
        _button(270, 339, 70, "Copy")),
}
SKETCHES: Mapping[str, Mapping[str, Sketch]] = {"discord": _DISCORD, "slack": _SLACK}
"""By platform, and by their names."""
