"""What we hold against what others hold: balance, reconciliation, explanations, ``verify``.

Nothing here believes a table because another one says the same: every order is rebuilt from its
events, walked along the published lifecycle step by step, and compared with its row, its body, its
files, its envelopes and, when asked, with the MES. What does not fit is named by order number.

Nothing here sends: a repair only makes a work order unclear or takes a word over, and the bridge
goes on from there by its own rules.
"""
