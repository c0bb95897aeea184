"""Why a prediction: what each column of the table moved it by."""
