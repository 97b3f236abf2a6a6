"""Between an order and its work order at a MES: the only module that speaks of foreign systems.

The intent to send is on disk before a byte leaves. What may have been done is *uncertain*, never
repeated blindly: the MES's idempotency settles it, or its look-up after its visibility lag, or a
person.
"""
