"""The commands of ``gangplank``, a file each."""
