"""What the EA sends: parsed, dated, put in order, and applied to the state of its symbol."""
