"""What the demo model understands of a text: words, clauses, numbers, arithmetic, places."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_QUOTED: Final = re.compile(r'"([^"]*)"|“([^”]*)”|«([^»]*)»|`([^`]+)`|(?<!\w)\'([^\']*)\'(?!\w)')
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?Z?)?\b")
_JOINT: Final = re.compile(
    r"\s?(?:[;\n]{1,9}|,?\s{1,3}(?:and\s)?(?:after\sthat|afterwards|then)\b,?"
    r"|,?\s{1,3}(?:and|plus\salso)\b|[?!.]\s(?=\S)|,\s)\s{0,3}",
    re.IGNORECASE,
)
_MAX_CLAUSES: Final = 12

_STOP: Final = """
a an and any are as at be by can could did do does for from get give has have hello help hi how i if
in into is it its just let make many me much my now of off on or our out over please run say see
should show so some tell than that the their them there these this those to up us use using want
was we what when where which who why will with would you your
"""
STOP_WORDS: Final = frozenset(_STOP.split())
"""Words that say nothing about which tool is meant."""

SYNONYMS: Final[dict[str, frozenset[str]]] = {
    "alarm": frozenset({"timer", "countdown", "sleep"}),
    "bought": frozenset({"expense"}),
    "chart": frozenset({"image", "plot", "draw", "picture", "graph"}),
    "clock": frozenset({"time", "timezone"}),
    "compute": frozenset({"calculator", "calculate", "math"}),
    "cost": frozenset({"expense", "price"}),
    "day": frozenset({"clock", "date", "time"}),
    "draw": frozenset({"image", "plot", "chart", "picture", "swatch"}),
    "hello": frozenset({"greet", "hello"}),
    "launch": frozenset({"countdown"}),
    "long": frozenset({"count", "length"}),
    "mail": frozenset({"email", "send"}),
    "paid": frozenset({"expense", "payment"}),
    "percent": frozenset({"calculator", "calculate", "math"}),
    "picture": frozenset({"image", "draw", "plot", "swatch"}),
    "spent": frozenset({"expense"}),
    "time": frozenset({"clock", "now", "timezone"}),
    "today": frozenset({"clock", "date"}),
    "wait": frozenset({"sleep", "countdown", "slow", "timer"}),
    "write": frozenset({"note", "save", "file"}),
}
"""A user's word → words of tool names it may mean."""

ZONES: Final[dict[str, str]] = {
    "amsterdam": "Europe/Amsterdam",
    "beijing": "Asia/Shanghai",
    "berlin": "Europe/Berlin",
    "cairo": "Africa/Cairo",
    "chicago": "America/Chicago",
    "delhi": "Asia/Kolkata",
    "dubai": "Asia/Dubai",
    "hong kong": "Asia/Hong_Kong",
    "johannesburg": "Africa/Johannesburg",
    "lisbon": "Europe/Lisbon",
    "london": "Europe/London",
    "los angeles": "America/Los_Angeles",
    "madrid": "Europe/Madrid",
    "mumbai": "Asia/Kolkata",
    "nairobi": "Africa/Nairobi",
    "new york": "America/New_York",
    "paris": "Europe/Paris",
    "rome": "Europe/Rome",
    "san francisco": "America/Los_Angeles",
    "sao paulo": "America/Sao_Paulo",
    "seoul": "Asia/Seoul",
    "shanghai": "Asia/Shanghai",
    "singapore": "Asia/Singapore",
    "stockholm": "Europe/Stockholm",
    "sydney": "Australia/Sydney",
    "tokyo": "Asia/Tokyo",
    "toronto": "America/Toronto",
    "utc": "UTC",
    "vienna": "Europe/Vienna",
    "zurich": "Europe/Zurich",
}
"""Cities the demo model knows, and their time zones."""

_COUNTED: Final = """
zero one two three four five six seven eight nine ten eleven twelve
"""
_NUMERALS: Final = {word: number for number, word in enumerate(_COUNTED.split())}
_N: Final = r"(\d(?:[\d,.]{0,30}\d)?)"
_AFTER: Final = r"(?<=[\d)])\s"
_BEFORE: Final = r"\s(?=[\d(])"
_SPOKEN: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), operation)
    for pattern, operation in (
        (rf"{_N}\s?(?:%|per\s?cent)\sof\s{_N}", r"\1 * \2 / 100"),
        (rf"square\sroot\sof\s{_N}", r"\1 ** 0.5"),
        (rf"{_N}\ssquared", r"\1 ** 2"),
        (rf"(?:sum\sof|add)\s{_N}\s(?:and|to)\s{_N}", r"\1 + \2"),
        (rf"(?:product\sof|multiply)\s{_N}\s(?:and|by)\s{_N}", r"\1 * \2"),
        (rf"divide\s{_N}\sby\s{_N}", r"\1 / \2"),
        (r"\sto\sthe\spower\sof\s|\s?\^\s?", " ** "),
        (rf"{_AFTER}(?:times|multiplied\sby|x){_BEFORE}|\s?[\u00d7\u00b7]\s?", " * "),
        (rf"{_AFTER}(?:divided\sby|over){_BEFORE}|\s?\u00f7\s?", " / "),
        (rf"{_AFTER}plus{_BEFORE}", " + "),
        (rf"{_AFTER}minus{_BEFORE}", " - "),
    )
)
"""How people say a calculation, and how Python writes it."""

_FUNCTION: Final = r"(?:abs|ceil|cos|exp|floor|ln|log10|round|sin|sqrt|tan)\("
_TERM: Final = re.compile(rf"(?:[-(\d]|{_FUNCTION})(?:[-+*/%().\d\s]|{_FUNCTION})*[\d)]")
_LABELLED: Final = re.compile(r"\b([^\W\d]\w{0,40})[\s:=]{1,3}(-?\d+(?:\.\d+)?)\b")
_MAX_ARITHMETIC: Final = 500
_OPERATOR: Final = re.compile(rf"{_FUNCTION}|[\d)]\s*(?:\*\*|[-+*/%])\s*[-(\d]")


def words(text: str) -> list[str]:
    """Split into lower-case words, camelCase and snake_case taken apart."""
    return _WORD.findall(_CAMEL.sub(" ", text).lower())


def stem(word: str) -> str:
    """Cut an English ending, so that ``counting`` and ``counts`` meet ``count``."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:  # noqa: PLR2004 (a readable rest)
            word = word[: -len(ending)]
            break
    return word.removesuffix("e") if len(word) > 3 else word  # noqa: PLR2004 (the same)


def stems(text: str) -> set[str]:
    """Return the stems of the words that say something."""
    return {stem(word) for word in words(text) if word not in STOP_WORDS}


def quoted(text: str) -> list[str]:
    """Return what stands in quotation marks."""
    return [next(filter(None, match), "") for match in _QUOTED.findall(text)]


def unquoted(text: str) -> str:
    """Return the text without what stands in quotation marks."""
    return _QUOTED.sub(" ", text)


def numbers(text: str) -> list[tuple[float, str]]:
    """Return the numbers of a text, each with the word that follows it."""
    found: list[tuple[int, float, str]] = []
    plain = _DATE.sub(lambda date: " " * len(date[0]), text)
    for match in _NUMBER.finditer(plain):
        after = _WORD.search(plain[match.end() :].lower())
        number = float(match[0].replace(",", ""))
        found.append((match.start(), number, after[0] if after else ""))
    for match in re.finditer(r"[a-z]+", plain.lower()):
        if match[0] in _NUMERALS:
            after = _WORD.search(plain[match.end() :].lower())
            found.append((match.start(), float(_NUMERALS[match[0]]), after[0] if after else ""))
    return [(number, unit) for _, number, unit in sorted(found)]


def labelled_numbers(text: str) -> dict[str, float | int]:
    """Return what ``Mon 3, Tue: 5`` gives."""
    found = {match[1]: float(match[2]) for match in _LABELLED.finditer(text)}
    return {name: int(n) if n.is_integer() else n for name, n in found.items()}


def dates(text: str) -> list[str]:
    """Return the ISO dates of a text."""
    return _DATE.findall(text)


def arithmetic(text: str) -> str | None:
    """Return the calculation a text asks for, in Python's operators, if it holds one."""
    spoken = _DATE.sub(" ", " ".join(text[:_MAX_ARITHMETIC].split()))
    for pattern, replacement in _SPOKEN:
        spoken = pattern.sub(replacement, spoken)
    spoken = re.sub(r"(?<=\d),(?=\d{3})", "", spoken)
    terms = [term[0].strip() for term in _TERM.finditer(spoken)]
    sums = [term for term in terms if _OPERATOR.search(term) and _is_balanced(term)]
    return max(sums, key=len) if sums else None


def city(text: str) -> str | None:
    """Return the first known city of a text."""
    lower = text.lower()
    places = [(lower.find(name), name) for name in ZONES if re.search(rf"\b{name}\b", lower)]
    return min(places)[1] if places else None


def clauses(text: str) -> Iterator[tuple[str, str]]:
    """Split into what may be separate wishes, each with the joint that led to it."""
    spans = [match.span() for match in _QUOTED.finditer(text)]
    start, joint, found = 0, "", 0
    for match in _JOINT.finditer(text):
        if any(a < match.end() and match.start() < b for a, b in spans):
            continue
        if found == _MAX_CLAUSES:
            break
        if match.start() > start:
            yield joint, text[start : match.start()]
            found += 1
        start, joint = match.end(), match[0]
    if start < len(text):
        yield joint, text[start:]


def contains(text: str, phrase: str) -> bool:
    """Whether the words of ``phrase`` stand in ``text`` side by side."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def is_any_in(candidates: Iterable[str], among: set[str]) -> bool:
    """Whether one of the words has its stem ``among`` those."""
    return any(stem(candidate) in among for candidate in candidates)


def _is_balanced(term: str) -> bool:
    depth = 0
    for character in term:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
