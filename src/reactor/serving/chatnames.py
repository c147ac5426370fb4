"""The names of chat's members: the valid ones, and those that look the same.

Names are in Unicode's form NFKC, in which fullwidth letters are ordinary ones. They are compared by case-folding, as
RFC 8265 does with user names. No letter may be invisible, and the letters of a name are of one script. Letters of other
scripts that look like Latin ones count as these (Unicode's UTS 39 calls them confusables).
"""

from __future__ import annotations

import unicodedata

MAX_NAME = 20

# Invisible letters: the fillers of Hangul (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")

# Scripts that are written together, by their first words in the names of characters.
_TOGETHER = frozenset(
    {"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"}
)

# Letters that look like a Latin letter, in one of its cases. They stand as code points, as no reader could check them.
_CYRILLIC = (
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456\u0458\u04bb\u0501\u051b\u051d"
)
_GREEK = "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7"
_OTHER = "\u0131\u0251\u0261\u0578\u057d\u0585"
_LOOKALIKES = str.maketrans(_CYRILLIC + _GREEK + _OTHER, "abekmhopctyxsijhdqw" + "abezhikmvoptux" + "iagnuo")


def normalized(name: str) -> str:
    """Return a name in the form in which it is kept, shown and compared."""
    return unicodedata.normalize("NFKC", name)


def keyOf(name: str) -> str:
    """Return a key that is equal for names that look the same."""
    folded = normalized(normalized(name).casefold())
    digits = (str(unicodedata.decimal(character, character)) for character in folded)
    return "".join(digits).translate(_LOOKALIKES)


def nameProblem(name: str) -> str | None:
    """Return the fault of a name in its normalized form, or None."""
    if not name:
        return "a name cannot be empty"
    if len(name) > MAX_NAME:
        return f"a name has at most {MAX_NAME} characters"
    if not all(character.isalnum() or character in "-_." for character in name) or _INVISIBLE.intersection(name):
        return 'a name has letters, digits, "-", "_" and "." only'
    scripts = {unicodedata.name(character, "").partition(" ")[0] for character in name if character.isalpha()}
    if len(scripts) > 1 and not scripts <= _TOGETHER:
        return "a name has letters of one script only"
    return None
