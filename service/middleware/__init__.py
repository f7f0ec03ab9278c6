"""What a request passes before its route, outermost first: log, Host and Origin, API key, body, unhandled errors."""
