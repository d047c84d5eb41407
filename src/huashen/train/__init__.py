"""Fitting what is learned, and preparing what it is learned from."""
