"""The database: the tables, the queue of experiments, the workers' claims, the records and the API keys."""
