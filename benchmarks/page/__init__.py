"""What `<job-list>` costs a real Chromium: ``python -m benchmarks.page``."""
