"""Views as text, tables, JSON and pictures. Computes nothing."""
