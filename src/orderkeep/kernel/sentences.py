"""Sentences of ours with facts in them: kept in English, and told to people in their own language.

A row, an event and a log keep the English text: it stays readable for ever, without a catalogue.
Where people read it, the text becomes a code with its facts again, and their screen has the words.
What no sentence of ours fits was said by somebody else: it is shown as it is, as a quotation.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

_FACT = re.compile(r"\{(\w+)\}")
_SHAPES = {
    "n": r"[\d…]+",
    "version": r"[\d…]+",
    "told": r"[\d…]+",
    "error": r"[A-Z]\w*(?:Error|[a-z][A-Z]\w*)|Invalid|Unreadable",
    "reference": r"OK-\d+(?:/\d+)?|…",
}
"""What a fact looks like, where its name says so; ``…`` stands for a number left out of a group."""
SAID, QUOTE = "said", "quote"
"""Facts that are sentences themselves: perhaps one of ours, and surely somebody else's."""
DEEPEST = 3
"""A sentence in a sentence in a sentence; what lies deeper is shown as it is."""
_REMEMBERED = 4096


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text as people are told it: ``code`` and ``facts`` where it is a sentence of ours.

    ``inner`` is what the sentence passes on, which may be a sentence of ours again.
    """

    text: str
    code: str | None = None
    facts: Mapping[str, str] = {}
    inner: "Said | None" = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; ``english`` names its facts in braces.

    >>> Sentence("gone", "{n} of {what} are gone")(n=3, what="rings")
    '3 of rings are gone'
    """

    code: str
    english: str
    shapes: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What facts of it look like, as regular expressions, where their names do not say so."""
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _begins: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = _FACT.split(self.english)
        shaped = (self._shape(one) if at % 2 else re.escape(one) for at, one in enumerate(words))
        object.__setattr__(self, "_pattern", re.compile("".join(shaped), re.DOTALL))
        object.__setattr__(self, "_begins", words[0])

    def __call__(self, **facts: object) -> str:
        """The English text."""
        return self.english.format(**facts)

    @property
    def facts(self) -> tuple[str, ...]:
        """The names of its facts."""
        return tuple(_FACT.findall(self.english))

    @property
    def weight(self) -> int:
        """How much of it is not facts: of two that fit, the heavier one was meant."""
        return len(_FACT.sub("", self.english))

    def read(self, text: str) -> Mapping[str, str] | None:
        """The facts of a text that is this sentence; None for any other."""
        if not text.startswith(self._begins):
            return None
        found = self._pattern.fullmatch(text)
        return found and found.groupdict()

    def _shape(self, fact: str) -> str:
        return f"(?P<{fact}>{self.shapes.get(fact) or _SHAPES.get(fact, '.+?')})"


class Catalogue:
    """All sentences that are read back.

    Raises:
        ValueError: two of them have one code.
    """

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        self.sentences = tuple(sorted(sentences, key=lambda one: one.weight, reverse=True))
        codes = [one.code for one in self.sentences]
        if len(codes) != len({*codes}):
            raise ValueError("each sentence has a code of its own")
        self.read = lru_cache(_REMEMBERED)(self._read)
        """What a text is; a list repeats few of them."""

    def _read(self, text: str) -> Said:
        return self._within(text, DEEPEST)

    def _within(self, text: str, depth: int) -> Said:
        for sentence in self.sentences if depth else ():
            facts = sentence.read(text)
            if facts is not None:
                plain = {name: value for name, value in facts.items() if name != SAID}
                inner = self._within(facts[SAID], depth - 1) if SAID in facts else None
                return Said(text, sentence.code, plain, inner)
        return Said(text)
