"""The fault matrix: the whole product, one fault, and what became of every order with a receipt.

A cell is one profile, one item and one fault. It starts the real product with a practice MES and
partners who send orders all the while, does the harm, ends it, waits for what is under way, and
then judges by two witnesses that are not ours: the MES's own journal, and the receipts that the
partners wrote down. ``python -m orderkeep.testing.matrix`` plays the cells and prints the table.
"""
