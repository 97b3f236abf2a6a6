"""What the lifecycle writes down of what a MES has said; see ``kernel.sentences``."""

from typing import Final

from orderkeep.kernel.sentences import Sentence

MES_SAYS_SO: Final = Sentence("mes_says_so", "the MES says so")
NOT_GIVEN_BACK: Final = Sentence("not_given_back", "not given back")

SENTENCES: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Sentence))
