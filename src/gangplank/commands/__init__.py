"""What the commands of ``gangplank`` do, as `command_line` has them typed.

- `demo`, `gateway` and `histogram`: a command each;
- `contents`: what `histogram` finds in a checkpoint, and the same as JSON;
- `histogram_tables`, `comparison`, `histogram_plot`, `histogram_push`: what becomes of it;
- `buckets`, `bars`: buckets as one types and as one sees them;
- `output`: where a command writes what it has made.
"""
