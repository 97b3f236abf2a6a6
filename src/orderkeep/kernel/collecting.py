"""How often the interpreter looks for circles among its objects."""

import gc


def collect_rarely() -> None:
    """For a process that has begun: what is there stays, and what comes goes by itself.

    Nearly all that a request makes goes when it is answered; looking for circles among it every
    700 objects took a sixth of the door's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
