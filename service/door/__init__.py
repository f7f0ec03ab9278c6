"""What a request goes through before our routes see it: its head, who calls, its body, what its route needs."""
