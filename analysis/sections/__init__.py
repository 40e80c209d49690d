"""What the report says, one file for each part."""
