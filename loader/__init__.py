"""Raw recordings into staging tables, as they are."""
