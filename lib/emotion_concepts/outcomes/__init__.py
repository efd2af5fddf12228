"""What a reply did: rules, a sandbox for code, judges."""
