"""The report on a candidate: one HTML file that stands alone."""
