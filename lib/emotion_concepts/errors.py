"""The one exception that users are meant to see."""


class UserError(ValueError):
    """A mistake that the user can mend; the message is one line and says how."""
