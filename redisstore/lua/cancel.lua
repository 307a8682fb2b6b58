-- ARGV: operation and now.
return append(v, head, change(digests, 3, attempts, sends, sent, NONE, op))
