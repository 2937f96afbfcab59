"""The demo application: made-up data in the shape of the source contract, and its loading into PostgreSQL."""
