"""What screens are made of: process variables as Qt objects, and the widgets that show them."""
