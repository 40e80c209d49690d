"""Attribution maps, how well they fall on a mask, and how faithful they are."""
