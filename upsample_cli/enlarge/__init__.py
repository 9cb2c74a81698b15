"""One image: what is asked for, what its header allows, and its way from source to sink."""
