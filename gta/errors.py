"""The one exception for what a user can mend."""


class GtaError(ValueError):
    """Bad input or a broken file: one clear line that says what, where and what to do.

    The command line prints the message without a traceback and exits with status 1.
    """
