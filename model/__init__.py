"""From cycle_series to a forecast: training, evaluation, and the forecast itself."""
