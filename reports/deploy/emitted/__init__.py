"""What a deployment consists of, copied as it is; these files import nothing of this suite."""
