"""What every process needs: its settings, its log, and its end when its parent ends."""
