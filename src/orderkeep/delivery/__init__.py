"""Getting an announcement from where it was saved to whoever needs it, at least once, in order.

An envelope is saved with the change it announces (outbox), moved by the relay over a transport,
and kept by its receiver (inbox) before anything is done with it. This module reads an envelope's
header only.
"""
