"""train: searches, refits and scores the user's estimator; the holdout is scored once, at the end."""
