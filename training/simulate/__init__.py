"""A simulated surrounding whose truth is known: market, bridge, signals, outcomes, and the demo.

    market -> bridge -> feed  ===ticks===>  the real service  <===scores===  elite_guard
    truth  -> outcomes -> truth_log.jsonl  ===>  the real trainer  ===model===>  the service

Everything here is made up and says so; the service, the client and the trainer are real.
"""
