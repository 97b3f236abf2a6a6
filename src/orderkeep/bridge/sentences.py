"""What the bridge writes beside a work order, or beside the news for a CRM.

See ``kernel.sentences``. ``{quote}`` is what the foreign system said itself.
"""

from typing import Final

from orderkeep.kernel.sentences import Sentence

# --- what a MES answered ------------------------------------------------------------------------

MES_REFUSED: Final = Sentence("mes_refused", "the MES refused the work order ({status})")
MES_REFUSED_BECAUSE: Final = Sentence(
    "mes_refused_because", "the MES refused the work order ({status}): {quote}"
)
MES_REFUSED_PLAIN: Final = Sentence("mes_refused_plain", "the MES refused the work order")
"""As it was written before its status and its reason were."""
MES_HAS_NO_ROOM: Final = Sentence("mes_no_room", "the MES has no room")
MES_CREDENTIALS: Final = Sentence("mes_credentials", "the MES does not accept our credentials")
MES_UNUSABLE: Final = Sentence("mes_unusable", "the MES gave no usable answer")
MES_SILENT: Final = Sentence("mes_silent", "the MES gave no answer")
MES_UNREACHED: Final = Sentence("mes_unreached", "the MES was not reached")
MES_WITHOUT_LOOKUP: Final = Sentence("mes_without_lookup", "this MES has no look-up")
MES_WITHOUT_LISTING: Final = Sentence("mes_without_listing", "this MES has no listing")
MES_WITHOUT_FEED: Final = Sentence("mes_without_feed", "this MES has no feed of changes")
MES_WITHOUT_RECALL: Final = Sentence("mes_without_recall", "this MES cannot recall")
LOOKUP_OF_OTHERS: Final = Sentence(
    "mes_lookup_of_others", "the look-up answered something else than what was asked"
)
OTHER_WORK_ORDER: Final = Sentence(
    "mes_other_work_order", "the answer is not about this work order"
)
OTHER_JOBS_ID: Final = Sentence("mes_other_jobs_id", "the answer has another job's id")
MES_KNOWS_OR_NOT: Final = Sentence("mes_knows_or_not", "the MES knows this reference, or not")
NO_ANSWER_BACK: Final = Sentence("no_answer_back", "no answer came back")
NOTHING_TO_RECALL: Final = Sentence("mes_nothing_to_recall", "the MES shows no such job to recall")
KEEPS_THE_JOB: Final = Sentence("mes_keeps_job", "the MES does not give the job back")
KEEPS_THE_JOB_BECAUSE: Final = Sentence(
    "mes_keeps_job_because", "the MES does not give the job back: {quote}"
)
RECALL_UNPROVEN: Final = Sentence("mes_recall_unproven", "no proof that the job was recalled")

# --- what a CRM answered ------------------------------------------------------------------------

CRM_REFUSED: Final = Sentence("crm_refused", "the CRM refused the news ({status})")
CRM_REFUSED_BECAUSE: Final = Sentence(
    "crm_refused_because", "the CRM refused the news ({status}): {quote}"
)
CRM_HAS_NO_ROOM: Final = Sentence("crm_no_room", "the CRM has no room")
CRM_CREDENTIALS: Final = Sentence("crm_credentials", "the CRM does not accept our credentials")
CRM_NOTHING_THERE: Final = Sentence("crm_nothing_there", "the CRM has nothing at this path")
CRM_UNUSABLE: Final = Sentence("crm_unusable", "the CRM gave no usable answer")
CRM_SILENT: Final = Sentence("crm_silent", "the CRM gave no answer")
CRM_UNREACHED: Final = Sentence("crm_unreached", "the CRM was not reached")
CRM_WITHOUT_LOOKUP: Final = Sentence("crm_without_lookup", "this CRM has no look-up")
CRM_BEHIND: Final = Sentence("crm_behind", "the CRM still shows version {version}")
CRM_SHOWS_NONE: Final = Sentence("crm_shows_none", "the CRM does not show it")
CRM_SHOWS_OLDER: Final = Sentence(
    "crm_shows_older", "the CRM shows version {version}, it was told {told}"
)
CRM_SAYS_OTHERWISE: Final = Sentence(
    "crm_says_otherwise", "the CRM says {status}, and it is {quote}"
)
FIELDS_MISSING: Final = Sentence("fields_missing", "without {fields}")
GIVEN_UP_BY: Final = Sentence("given_up_by", "given up by {by}")

# --- what became of a call or of its sender -----------------------------------------------------

STOPPED_BETWEEN: Final = Sentence("stopped_between", "stopped between the intent and the sending")
DATABASE_LOST: Final = Sentence("database_lost", "cut, because the database was lost")
SENDER_GONE: Final = Sentence("sender_gone", "the sender is gone")
SENDER_STILL: Final = Sentence("sender_still", "the sender does not move")
ATTEMPT: Final = Sentence("attempt", "attempt {n}")
NEVER_SENT: Final = Sentence("never_sent", "never sent")
NEVER_HAD: Final = Sentence("mes_never_had", "the MES never had it")
NOT_AT_MES: Final = Sentence("not_at_mes", "the MES does not have it")
TAKEN_BACK: Final = Sentence("taken_back", "taken back")
SEVERAL_JOBS: Final = Sentence("several_jobs", "{n} jobs for one work order")
LOOKED_UP: Final = Sentence("looked_up", "looked up")
DECIDED_BY: Final = Sentence("decided_by", "decided by {by}")

# --- what cannot be -----------------------------------------------------------------------------

SHOWN_TIMES: Final = Sentence("shown_times", "shown {n} times")
NOT_SHOWN: Final = Sentence("not_shown", "not shown any more")
HEARD: Final = Sentence("heard", "{reference}: {said}")
"""A word that was heard of a work order, or of an order: the lifecycle puts them together."""
CRM_COMMAND: Final = Sentence(
    "crm_command", "{command}: {said}", {"command": "approve|close|cancel"}
)
"""A command of the CRM's that the lifecycle refused, and why."""

SENTENCES: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Sentence))
