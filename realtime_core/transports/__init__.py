"""Ways to reach a provider; each gives a `Dial`."""
