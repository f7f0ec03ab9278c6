"""What every process needs: its settings and its log."""
