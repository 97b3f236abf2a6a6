"""The built-in workshop: work orders made on our own board.

It is a MES like any other: it takes a work order once per reference, and what happens to it comes
back as messages.
"""
