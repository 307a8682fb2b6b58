package sqlstore

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// defaultPrefix is what every table and index name in the SQL files begins with.
const defaultPrefix = "otp_"

// statements are the texts of one dialect, by name.
type statements struct {
	texts map[string]string
	lists sync.Map // listKey to text
}

type listKey struct {
	name string
	n    int
}

// newStatements reads the file of a dialect and puts prefix before its tables.
func newStatements(d Dialect, prefix string) (*statements, error) {
	file, err := queryFiles.ReadFile("queries/" + d.String() + ".sql")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	s := &statements{texts: map[string]string{}}
	const mark = "\n-- name: "
	_, rest, _ := strings.Cut(string(file), mark)
	for part := range strings.SplitSeq(rest, mark) {
		name, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, ";\n") // comments for the next one follow
		s.texts[name] = strings.ReplaceAll(text, defaultPrefix, prefix)
	}
	return s, nil
}

// get returns a statement without a list.
func (s *statements) get(name string) string { return s.texts[name] }

// list returns a statement with a list of n values. So that few texts are ever
// prepared, n must come from padded.
func (s *statements) list(name string, n int) string {
	key := listKey{name, n}
	if text, ok := s.lists.Load(key); ok {
		return text.(string)
	}
	head, rest, _ := strings.Cut(s.texts[name], "{{")
	each, tail, _ := strings.Cut(rest, "}}")
	text := head + strings.TrimSuffix(strings.Repeat(each+", ", n), ", ") + tail
	s.lists.Store(key, text)
	return text
}

// padded repeats the last element of a list until its length is a power of two. None
// of the statements with a list minds that. The list must not be empty.
func padded[T any](list []T) []T {
	n := 1
	for n < len(list) {
		n *= 2
	}
	out := make([]T, n)
	for i := range out {
		out[i] = list[min(i, len(list)-1)]
	}
	return out
}
