"""A venue each: protocol, session policy, and normalisation from wire to rows."""
