"""The service that answers with a forecast."""
