"""A legacy MES behind HTTP: what its answers prove, and nothing more.

Each answer to a submission falls into one of four classes. Only a well-formed answer under our own
reference is a yes, and only a refusal on HTTP's own terms is a no. "Surely not done" needs proof
that no byte left, or the MES's word that it had no room. All the rest is uncertain.
"""

from orderkeep.adapters.mes_http.port import MesHttp
from orderkeep.adapters.mes_http.settings import MesHttpSettings

__all__ = ["MesHttp", "MesHttpSettings"]
