"""The error that ends a command with exit code 2."""


class UserError(Exception):
    """Bad arguments or configuration; the message names the bad value, what is allowed and the mend."""
