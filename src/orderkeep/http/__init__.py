"""Routes, wire shapes and refusals: strangers come in at the door, staff at the office.

A route parses, calls one method and renders. Nothing here decides about an order.
"""
