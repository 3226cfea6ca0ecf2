"""The report of a training run: numbers, words and pictures on one page."""
