"""From a forest's share of votes to a probability that holds."""
