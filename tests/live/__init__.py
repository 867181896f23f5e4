"""Live parties: what happens in a party, and to the streams of those who listen."""
