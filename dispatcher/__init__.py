"""Which manager? The service that tells a client where to go."""
