"""What HTTP asks of every route: authorization, parameters, negotiation, ETags, problems and the OpenAPI document."""
