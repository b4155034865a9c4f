"""From the scores of an evaluation to what people read: intervals, a page and a model card. No network, no pixels."""
