"""The folder of models: made, published, pointed at, reviewed, pruned."""
