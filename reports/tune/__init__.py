"""The search for the fastest recipe within limits: runtime, precision, batch, workers and threads."""
