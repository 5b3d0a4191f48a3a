"""What a thing is: digests, canonical form, fingerprints."""
