"""The process that claims experiments and watches the training process. It never imports torch."""
