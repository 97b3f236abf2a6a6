"""The public door: the one place where strangers come in, and nothing behind it is theirs.

Every request passes the guard (key, quota, one shape of refusal); accepting an order is plain ASGI,
because it is measured; the rest are Litestar routes.
"""

from orderkeep.http.door.app import DoorSettings, build_door

__all__ = ["DoorSettings", "build_door"]
