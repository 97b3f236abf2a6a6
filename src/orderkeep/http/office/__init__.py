"""The staff's side: sign-in, board, approvals, one page for every order, and the web application.

Nothing here decides: an action becomes one command to the order master, one step on the floor or
one claim, and the answer waits a moment for the order to follow.
"""
