"""What every other room stands on: errors in words, files, the store, threads, bars."""
