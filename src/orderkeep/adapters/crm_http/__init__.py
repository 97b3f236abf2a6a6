"""A CRM behind HTTP: told by an upsert under our order number, asked by a look-up, heard by a feed.

Only a well-formed answer under our own number is a yes, and only a refusal on HTTP's own terms is a
no. All the rest is unknown, and told again under the same key.
"""

from orderkeep.adapters.crm_http.port import CrmHttp
from orderkeep.adapters.crm_http.settings import CrmHttpSettings

__all__ = ["CrmHttp", "CrmHttpSettings"]
