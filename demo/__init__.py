"""What `make demo` runs on: a real year of flights, laid out as a company's sources are."""
