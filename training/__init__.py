"""The trainer, run by cron: reads journal and truth logs, proves a model, publishes it."""
