"""The reader's side: ways to an archive (HTTP or files), times as people write them, samples as tables and files."""
