"""What stands behind app.py: the page on which answers are scored."""
