"""The page of saved runs: one HTML file that needs nothing else. `python -m reports page`."""
