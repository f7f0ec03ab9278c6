"""Drawing figures beside the requests: the processes, their turns, and one drawing for equal requests at once."""
