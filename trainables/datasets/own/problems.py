"""What is wrong with data, collected so that a user sees several problems at a time."""

from trainables.core.errors import ConfigurationError

SHOWN = 3


class Problems:
    """Messages, each naming file and row, the value, what is allowed and the mend."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        self.messages.append(message)

    def check(self) -> None:
        """
        Raises:
            ConfigurationError: there are any; it has the first ones and how many more there are.
        """
        if self.messages:
            more = len(self.messages) - SHOWN
            text = "; ".join(self.messages[:SHOWN])
            raise ConfigurationError(f"{text}; and {more} more" if more > 0 else text)
