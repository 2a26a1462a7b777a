"""Files that clients upload: named anew, recognised by their bytes, kept under their session, served back to nobody."""
