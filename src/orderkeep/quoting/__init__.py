"""Measure a model file, apply the price book, produce a quote.

The promise: never a wrong number. A file gets a price only when its volume is beyond doubt: every
edge shared evenly, every face facing out, and no place counted twice. Everything else is handed
to a person with the reason, in a sentence. Files are parsed in a process of their own, which may
die without taking anything along.
"""
