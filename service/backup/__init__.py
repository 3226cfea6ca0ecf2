"""Backups of journal, models and configuration, and their restoration."""
