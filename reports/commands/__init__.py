"""The smaller commands of `python -m reports`, and the options that commands share."""
