"""The process that claims experiments and watches its training process. It never imports torch."""
