"""Checks a data set for broken photos, copies, leaks and wrong labels, and cleans it."""
