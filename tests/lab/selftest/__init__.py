"""The lab tests itself: what every other test and the demo believe about it."""
