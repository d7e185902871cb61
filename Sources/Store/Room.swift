// Placeholder so that the room compiles before it is furnished.
