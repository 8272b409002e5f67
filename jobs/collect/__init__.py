"""Stage collect: read one source for one data interval into one Parquet file of known types."""
