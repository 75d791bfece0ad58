"""A gate's result for the terminal, a comment, a workflow and machines. Computes nothing."""
