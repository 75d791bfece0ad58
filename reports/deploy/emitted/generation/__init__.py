"""What a deployment that generates text consists of beside or in place of the files above; copied as it is, too."""
