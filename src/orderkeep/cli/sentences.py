"""What went wrong, in one sentence for whoever called."""


def sentence(error: Exception) -> str:
    """An error as people read it: a file that is not there by its name, without a number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
