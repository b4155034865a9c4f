"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something a user can put right: the message names the file or field and the remedy, in one line.

    Stages print it without a traceback and exit with status 1.
    """


class DiskFull(UserError):
    """No space left on the disk: trying another source, or another time, does not help."""
