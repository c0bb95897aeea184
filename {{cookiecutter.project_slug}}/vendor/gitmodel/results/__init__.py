"""The test rows with their labels and predictions, as the work tree holds them."""
