"""Files that travel: one download, and a bundle packed, checked and put in place."""
