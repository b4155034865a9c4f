"""Reports of an evaluation: intervals, an HTML page and a model card. They need neither networks nor image data."""
