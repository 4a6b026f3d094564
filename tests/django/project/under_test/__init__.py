"""A Django project, as the tests and their servers run it."""
