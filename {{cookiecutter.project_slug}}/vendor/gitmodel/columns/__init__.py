"""What each column brings to the model, and what it costs."""
