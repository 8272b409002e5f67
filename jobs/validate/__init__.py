"""Stage validate: the data gate, a Great Expectations suite over what was collected."""
