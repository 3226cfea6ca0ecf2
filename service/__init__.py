"""The long-running sidecar: keeps features current, answers scoring requests, swaps models."""
