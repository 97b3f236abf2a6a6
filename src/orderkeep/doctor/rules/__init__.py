"""The rules, by what they look at; ``orderkeep.doctor.rulebook`` numbers and weighs them.

A rule takes a ``Look`` and yields a ``Hit`` for each thing that breaks it. It accuses only on what
the broker itself says; where a version does not say it, the rule yields nothing.
"""
