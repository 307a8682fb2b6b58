package sqlstore_test

import (
	"bytes"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
)

// S-13: what a thief of the database gets holds no code, handle, recipient, subject or
// extra data, in any usual encoding.
func TestDump(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		dsn := k.dsn(t)
		db := openDB(t, k.driver, dsn)
		o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
		s := openStore(t, db, o)
		svc, outbox, clock := otptest.NewService(t, func(c *otp.Config) { c.Store, c.Limiter = s, s })
		secrets := useAll(t, svc, outbox, clock)
		dump := dumpOf(t, k, dsn, o.Prefix)

		require.Contains(t, string(dump), o.Prefix+"challenge", "this is no dump of the tables")
		r, err := s.Get(t.Context(), someID(t, db, o.Prefix))
		require.NoError(t, err)
		assert.True(t, holds(dump, r.Digests), "what is kept is not found: the search is broken")
		for what, secret := range secrets {
			assert.False(t, holds(dump, []byte(secret)), "the dump holds %s", what)
		}
	})
}

// useAll makes a service do all it does to a store, and returns what must not be there.
func useAll(t *testing.T, svc *otp.Service, outbox *otptest.Outbox, clock *otptest.Clock) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	for i := range 4 {
		to, subject := fmt.Sprintf("+1555010123%d", i), fmt.Sprintf("subject-of-person-%d", i)
		ch, err := svc.Request(t.Context(), otp.Request{
			Channel: otp.SMS, Usage: "login", Subject: subject, To: to, Extra: []byte("extra-data-kept"), Binding: "binding-of-it",
			Policy: &otp.Policy{Formats: []otp.Format{{Length: 12}}},
		})
		require.NoError(t, err)
		code := outbox.Code(to)
		_, err = svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Usage: "login", Binding: "binding-of-it", Code: strings.Repeat("0", len(code))})
		require.ErrorIs(t, err, otp.ErrRejected)
		clock.Advance(time.Minute)
		_, err = svc.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		secrets["a code"+to], secrets["a second code"+to] = code, outbox.Code(to)
		secrets["a handle"+to], secrets["a recipient"+to], secrets["a subject"+to] = ch.ID, strings.TrimPrefix(to, "+"), subject
		secrets["extra data"], secrets["the binding"] = "extra-data-kept", "binding-of-it"
		switch i {
		case 0:
			proof, err := svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Usage: "login", Binding: "binding-of-it", Code: outbox.Code(to)})
			require.NoError(t, err)
			token, err := svc.Token(proof, time.Minute)
			require.NoError(t, err)
			_, err = svc.Redeem(t.Context(), token.Reveal(), "login")
			require.NoError(t, err)
			secrets["a token"] = token.Reveal()
		case 1:
			require.NoError(t, svc.Cancel(t.Context(), ch.ID))
		}
	}
	return secrets
}

// holds looks for the encodings in which a secret may be written.
func holds(dump, secret []byte) bool {
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	wide := utf16.Encode([]rune(string(secret)))
	var le []byte
	for _, u := range wide {
		le = append(le, byte(u), byte(u>>8))
	}
	forms := [][]byte{
		secret, reversed, le,
		[]byte(hex.EncodeToString(secret)),
		[]byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)),
		[]byte(base64.RawStdEncoding.EncodeToString(secret)),
		[]byte(base64.RawURLEncoding.EncodeToString(secret)),
	}
	lower := bytes.ToLower(dump)
	return slices.ContainsFunc(forms, func(form []byte) bool {
		return bytes.Contains(dump, form) || bytes.Contains(lower, bytes.ToLower(form))
	})
}

func someID(t *testing.T, db *sql.DB, prefix string) (id string) {
	t.Helper()
	require.NoError(t, db.QueryRow("SELECT id FROM "+prefix+"challenge WHERE state = 1 AND attempts > 0 LIMIT 1").Scan(&id))
	return id
}

// dumpOf returns what the server's own tool writes, or the file and its journal.
func dumpOf(t *testing.T, k server, dsn, prefix string) []byte {
	t.Helper()
	switch k.driver {
	case "pgx":
		return output(t, filepath.Join(servers.PostgresBin(t), "pg_dump"), "--dbname="+dsn, "--inserts", "--table="+prefix+"*")
	case "mysql":
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		host := url.URL{Host: c.Addr}
		return output(t, "mariadb-dump", "--no-defaults", "--host="+host.Hostname(), "--port="+host.Port(), "--user="+c.User,
			"--password="+c.Passwd, "--hex-blob", "--skip-lock-tables", c.DBName,
			prefix+"challenge", prefix+"meter", prefix+"counter", prefix+"policy", prefix+"audit", prefix+"credential", prefix+"schema")
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
	files, err := filepath.Glob(name + "*")
	require.NoError(t, err)
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all = append(all, b...)
	}
	return all
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	require.NoError(t, err)
	return out
}
