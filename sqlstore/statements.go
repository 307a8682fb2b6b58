package sqlstore

import (
	"embed"
	"fmt"
	"strings"
	"sync"
	"time"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// defaultPrefix is what every table and index name in the SQL files begins with.
const defaultPrefix = "otp_"

// statements are the texts of one dialect, by name.
type statements struct {
	texts map[string]string
	lists sync.Map // listKey to text

	auditFor time.Duration // zero: there is no audit
	inline   bool          // statements that change a record write the audit themselves
}

type listKey struct {
	name string
	n    int
}

// newStatements reads the file of a dialect and puts prefix before its tables.
func newStatements(d Dialect, prefix string, auditFor time.Duration) (*statements, error) {
	file, err := queryFiles.ReadFile("queries/" + d.String() + ".sql")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	s := &statements{texts: map[string]string{}, auditFor: auditFor}
	const mark = "\n-- name: "
	_, rest, _ := strings.Cut(string(file), mark)
	for part := range strings.SplitSeq(rest, mark) {
		name, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, ";\n") // comments for the next one follow
		s.texts[name] = strings.ReplaceAll(text, defaultPrefix, prefix)
	}
	if s.inline = auditFor > 0 && d == PostgreSQL; s.inline {
		for _, name := range []string{"put", "spend", "reissue", "cancel", "put_charged", "reissue_charged"} {
			s.texts[name] = s.logging(s.texts[name])
		}
	}
	if d == PostgreSQL {
		for _, name := range []string{"take", "put_charged", "reissue_charged"} {
			s.texts[name+known] = withoutInsert(s.texts[name])
		}
	}
	return s, nil
}

// known ends the name of a statement that changes meters which all have a row.
const known = "_known"

func withoutInsert(text string) string {
	head, rest, _ := strings.Cut(text, ", inserted AS (")
	_, tail, _ := strings.Cut(rest, ", updated AS (")
	return head + ", updated AS (" + tail
}

// logging returns a statement of PostgreSQL that writes a row of the audit with what it
// changes.
func (s *statements) logging(text string) string {
	own := 0 // parameters
	for strings.Contains(text, fmt.Sprintf("$%d", own+1)) {
		own++
	}
	log := s.texts["logged"]
	for i := range auditParameters {
		log = strings.ReplaceAll(log, fmt.Sprintf("{{%d}}", i+1), fmt.Sprintf("$%d", own+i+1))
	}
	log = "logged AS (\n" + log + "\n)"
	if head, tail, found := strings.Cut(text, ", record AS ("); found {
		return head + ", " + log + ", record AS (" + tail
	}
	return "WITH changed AS (\n" + text + "\n), " + log + "\nSELECT * FROM changed"
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
