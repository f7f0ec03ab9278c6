"""The training process: it runs one claimed experiment after another and records what they measure."""
