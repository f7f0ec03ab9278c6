"""The routes, one file per subject. A route parses its request, calls one verb and returns the response."""
