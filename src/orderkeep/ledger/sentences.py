"""What exactly differs: written beside a difference or a finding; see ``kernel.sentences``.

Their titles, which do not depend on any facts, are in ``ledger.words``.
"""

from typing import Final

from orderkeep.kernel.sentences import Sentence

# --- the comparison with a MES ------------------------------------------------------------------

MADE_TIMES: Final = Sentence("made_times", "the MES makes it {n} times: {ids}")
UNASKED: Final = Sentence("unasked", "the MES has it as {mes_id}, and we never asked for it")
UNSENT: Final = Sentence("unsent", "the MES has it as {mes_id}, and we have not sent it")
SHOWS_NONE: Final = Sentence("shows_none", "we say it is {state}, the MES shows none")
SAYS_OTHERWISE: Final = Sentence("says_otherwise", "the MES says {status}, we say {stage}")
STANDS: Final = Sentence("stands", "nothing has moved for {n} days; the MES says {status}")
STANDS_SILENT: Final = Sentence(
    "stands_silent", "nothing has moved for {n} days; the MES says nothing"
)
THERE_ALL_THE_SAME: Final = Sentence(
    "there_all_the_same", "we say it is {state}, the MES has it as {mes_id} ({status})"
)
THERE_REPLACED: Final = Sentence(
    "there_replaced",
    "we say it is replaced by a later work order, the MES has it as {mes_id} ({status})",
)

NOTHING_TO_COMPARE: Final = Sentence(
    "nothing_to_compare", "this MES has neither a list nor a look-up"
)
LIST_ENDLESS: Final = Sentence("list_endless", "the list does not end: '{cursor}' came again")
DENIES_TOO_MANY: Final = Sentence(
    "denies_too_many", "the MES denies {n} at once: its look-up is not believed"
)

# --- the balance --------------------------------------------------------------------------------

NOT_THERE: Final = Sentence("not_there", "is not there")
FEWER_ORDERS: Final = Sentence(
    "fewer_orders", "{n} orders are there, {told} numbers were given out"
)
COUNTER_DIFFERS: Final = Sentence(
    "counter_differs", "the counter of {stage} says {told}, there are {n}"
)
RESTS_NOWHERE: Final = Sentence("rests_nowhere", "rests nowhere: {stage}, price {price}")
STRANDED: Final = Sentence("stranded", "rests nowhere: {said}")
NOBODY_SENDS: Final = Sentence("nobody_sends", "its work order is pending and nobody will send it")
NOBODY_ASKED: Final = Sentence("nobody_asked", "it waits for a price that nobody is asked for")
NOT_CARRIED: Final = Sentence("not_carried", "{kind} waits to be carried since {at} UTC")
NOT_ARRIVED: Final = Sentence("not_arrived", "{kind}: confirmed {at} UTC, in no inbox since")

# --- the sellers' CRM ---------------------------------------------------------------------------

CRM_LATE: Final = Sentence(
    "crm_late",
    "the CRM was told up to version {told}, the news behind it is {state} since {at} UTC",
)
CRM_NEWS: Final = Sentence("crm_news", "the last news is {state}")
CRM_NEWS_BECAUSE: Final = Sentence("crm_news_because", "the last news is {state}: {said}")

SENTENCES: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Sentence))
