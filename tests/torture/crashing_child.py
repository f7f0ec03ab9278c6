"""The training process of a worker that crashes at a named point. See crashing.py."""

from tests.torture.crashing import main

if __name__ == "__main__":
    main("child")
