"""What is wrong with a network: faults of its layers, and of the whole."""

Fault = tuple[int | None, str]  # the index of the layer, or None, and a message


class NetworkFaults(ValueError):
    """What is wrong with a network. faults: each with the index of its layer, or None if it is of the whole network."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__(
            "; ".join(message if index is None else f"network[{index}]: {message}" for index, message in faults)
        )
