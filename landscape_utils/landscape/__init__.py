"""Mining the loss landscape: directions, curves, Hessians."""
