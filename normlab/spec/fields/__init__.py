"""The fields of a spec, a file for each subject: for every field its type, its bounds and what it does."""
