"""What the doctor says, in English and Russian: for the owner of a workshop, not for an engineer.

Both languages have the same keys; a test holds them to it.
"""

from typing import Final

from orderkeep.doctor.words import english, russian

LANGUAGES: Final = {"en": english, "ru": russian}
