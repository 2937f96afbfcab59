"""Telling people of what needs somebody: finding it, wording it, and delivering it at most once."""
