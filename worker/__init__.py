"""The process that trains: claims, trains, records."""
