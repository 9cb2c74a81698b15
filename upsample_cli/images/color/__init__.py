"""Colour: profiles, Lab, linear light, and conversion between layouts and depths."""
