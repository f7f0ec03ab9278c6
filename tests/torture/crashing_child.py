"""The child of a worker that is killed at a named point; see crashing."""

from tests.torture.crashing import main

if __name__ == "__main__":
    main("child")
