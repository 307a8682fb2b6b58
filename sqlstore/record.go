package sqlstore

import (
	"bytes"
	"database/sql"
	"time"

	"otp.example/otp"
)

// A recordRow is a row of challenges in the making. All its columns are NULL where
// there is no record.
type recordRow struct {
	id                                     sql.NullString
	digests, sealed                        []byte
	state                                  sql.NullInt64
	attempts, maxAttempts, sends, maxSends sql.NullInt64
	created, sent, expires                 sql.NullInt64
}

// dest is where the columns go, in the order of all statements.
func (r *recordRow) dest() []any {
	return []any{
		&r.id, &r.digests, &r.sealed, &r.state, &r.attempts, &r.maxAttempts, &r.sends, &r.maxSends,
		&r.created, &r.sent, &r.expires,
	}
}

// record returns the zero Record if there is none.
func (r *recordRow) record() otp.Record {
	if !r.id.Valid {
		return otp.Record{}
	}
	return otp.Record{
		ID:          r.id.String,
		Digests:     r.digests,
		Sealed:      r.sealed,
		State:       otp.State(r.state.Int64),
		Attempts:    int(r.attempts.Int64),
		MaxAttempts: int(r.maxAttempts.Int64),
		Sends:       int(r.sends.Int64),
		MaxSends:    int(r.maxSends.Int64),
		CreatedAt:   time.UnixMicro(r.created.Int64).UTC(),
		SentAt:      time.UnixMicro(r.sent.Int64).UTC(),
		ExpiresAt:   time.UnixMicro(r.expires.Int64).UTC(),
	}
}

// recordArgs are the values for the columns. A column is never NULL, so neither is
// an empty slice.
func recordArgs(r *otp.Record) []any {
	return []any{
		r.ID, notNil(r.Digests), notNil(r.Sealed), int64(r.State),
		int64(r.Attempts), int64(r.MaxAttempts), int64(r.Sends), int64(r.MaxSends),
		r.CreatedAt.UnixMicro(), r.SentAt.UnixMicro(), r.ExpiresAt.UnixMicro(),
	}
}

// detached returns r as it will be read back, with slices of its own.
func detached(r otp.Record) otp.Record {
	r.Digests, r.Sealed = bytes.Clone(r.Digests), bytes.Clone(r.Sealed)
	r.CreatedAt, r.SentAt, r.ExpiresAt = micro(r.CreatedAt), micro(r.SentAt), micro(r.ExpiresAt)
	return r
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
