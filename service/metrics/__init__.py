"""What Prometheus sees of the service, and how it asks."""
