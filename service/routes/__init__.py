"""One file a subject: parse, call one verb, return."""
