"""What follows from an alarm: confirmed cases, a data revision, a retraining, a challenger; nothing of it twice."""
