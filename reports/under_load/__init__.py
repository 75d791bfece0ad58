"""A recipe under load: requests that arrive one by one, all at once, or at random at a rate."""
