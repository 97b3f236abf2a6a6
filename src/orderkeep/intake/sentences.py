"""What is written beside a message of a present system, or beside that system."""

from typing import Final

from orderkeep.kernel.sentences import Sentence

# --- a shadow's order beside the old road -------------------------------------------------------

HERE_TOO: Final = Sentence("shadow_here_too", "it is here, by another road")
HERE_OTHERWISE: Final = Sentence(
    "shadow_here_otherwise", "it is here by another road, with other content"
)
MADE_TIMES: Final = Sentence("shadow_made_times", "the old road made it {n} times")
WOULD_REFUSE: Final = Sentence(
    "shadow_would_refuse", "the MES has it; here it would be refused: {said}"
)
REFUSED_NOT_MADE: Final = Sentence("shadow_refused_not_made", "refused here, and not made there")
NOT_MADE: Final = Sentence("shadow_not_made", "accepted here; the MES does not have it")
CAME_TWICE: Final = Sentence("shadow_came_twice", "the number came twice, with other content")

# --- a message that no mapping fits -------------------------------------------------------------

NO_MAPPING: Final = Sentence("no_mapping", "No mapping knows this kind of message.")
NO_MAPPING_OF: Final = Sentence(
    "no_mapping_of", "No mapping knows this kind of message. Kind: {quote}"
)
"""As the reason of a message in the tray, which names the kind behind the sentence."""
FOUND_NOTHING: Final = Sentence("found_nothing", "The mapping found nothing for {fields}.")
NOT_JSON: Final = Sentence("not_json", "Not JSON in UTF-8 with one meaning: {failure}.")
NOT_TO_JSON: Final = Sentence("not_to_json", "It cannot be written as JSON: {failure}.")
EXPRESSION_FAILED: Final = Sentence(
    "expression_failed", "The expression of {field} failed: {failure}."
)
NEITHER_TEXT: Final = Sentence(
    "neither_text", "An order number, status or version is neither a text nor a whole number."
)
WORD_WITHOUT_MEANING: Final = Sentence(
    "word_without_meaning", "A word of {field} has no meaning in [values.{values}]."
)
NO_MASSTRANSIT: Final = Sentence("no_masstransit", "Not a MassTransit envelope.")
NO_MASSTRANSIT_OF: Final = Sentence(
    "no_masstransit_of", "Not a MassTransit envelope. Kind: {quote}"
)
NO_SUCH_ORDER: Final = Sentence("no_such_order", "No order of this number has come.")
MESSAGE_CHANGED: Final = Sentence("message_changed", "The message's id is known, with another body")
KEY_REUSED: Final = Sentence("key_reused", "The key was used with another body")
NUMBER_TAKEN: Final = Sentence(
    "number_taken", "Your number already means {reference}, with another body"
)

PUT_ASIDE: Final = Sentence(
    "put_aside",
    "{word}: {said}",
    {"word": "unknown-kind|unknown-order|not-mapped|invalid|message-changed|number-taken|refused"},
)
"""A stable word of the tray's, and the sentence behind it; see ``receiving.WHY``."""

# --- a present system that is not connected -----------------------------------------------------

CONNECTING: Final = Sentence("source_connecting", "connecting")
CLOSED: Final = Sentence("source_closed", "closed")
WITHOUT_PLACE: Final = Sentence(
    "source_without_place",
    "Rows without a value in `{column}` are never read: take a column that each row has, or say in"
    " the query what stands for it, as `coalesce(…)` does.",
)
UNEQUAL_OVERLAP: Final = Sentence(
    "source_unequal_overlap",
    "The cursor's column and `overlap` do not go together: see the guide.",
)
NO_INSTANTS: Final = Sentence(
    "source_no_instants", "The cursor's column holds texts that are no instants."
)
CANNOT_OPEN: Final = Sentence("source_cannot_open", "The other system's database cannot be opened.")
UNREACHED: Final = Sentence("source_unreached", "The other system's database cannot be reached.")
TOO_LONG: Final = Sentence("source_too_long", "The other system's database takes too long.")

CERTIFICATE_EXPIRED: Final = Sentence(
    "certificate_expired", "The server's certificate has expired."
)
CERTIFICATE_EARLY: Final = Sentence(
    "certificate_early", "The server's certificate is not valid yet: compare both clocks."
)
CERTIFICATE_NAME: Final = Sentence(
    "certificate_name", "The server's certificate is for another name than the address has."
)
CERTIFICATE_STRANGE: Final = Sentence(
    "certificate_strange", "Nobody whom we trust has signed the server's certificate."
)
CERTIFICATE_WRONG: Final = Sentence(
    "certificate_wrong", "The server's certificate is not believed: {quote}"
)
NO_TLS: Final = Sentence("no_tls", "The server does not speak TLS at this port.")
NOBODY_TO_TRUST: Final = Sentence(
    "nobody_to_trust", "The file of trusted authorities cannot be read as PEM ({failure})."
)

SENTENCES: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Sentence))
