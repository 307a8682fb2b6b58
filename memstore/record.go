package memstore

import (
	"encoding/binary"
	"time"

	"otp.example/otp"
)

// record returns the record at i, with slices of its own.
func (s *shard) record(i uint32, id string) otp.Record {
	return detached(decodeRecord(id, s.value(i)))
}

// encode returns the value of r, until the next call. The slices of r must not be
// the shard's.
func (s *shard) encode(r *otp.Record) []byte {
	s.scratch = appendRecord(s.scratch[:0], r)
	return s.scratch
}

// appendRecord encodes r without its ID: what changes first, the times as
// distances.
func appendRecord(b []byte, r *otp.Record) []byte {
	b = append(b, byte(r.State))
	for _, n := range [...]int{r.Attempts, r.MaxAttempts, r.Sends, r.MaxSends, len(r.Digests)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	created := r.CreatedAt.UnixMicro()
	b = binary.AppendVarint(b, created)
	b = binary.AppendVarint(b, r.SentAt.UnixMicro()-created)
	b = binary.AppendVarint(b, r.ExpiresAt.UnixMicro()-created)
	b = append(b, r.Digests...)
	return append(b, r.Sealed...)
}

// decodeRecord is the reverse of appendRecord. The slices are those of b.
func decodeRecord(id string, b []byte) otp.Record {
	p := b[1:]
	number := func() int {
		v, n := binary.Uvarint(p)
		p = p[n:]
		return int(v)
	}
	var from int64
	moment := func() time.Time {
		v, n := binary.Varint(p)
		p = p[n:]
		return time.UnixMicro(from + v).UTC()
	}
	r := otp.Record{
		ID:       id,
		State:    otp.State(b[0]),
		Attempts: number(), MaxAttempts: number(), Sends: number(), MaxSends: number(),
	}
	digests := number()
	r.CreatedAt = moment()
	from = r.CreatedAt.UnixMicro()
	r.SentAt, r.ExpiresAt = moment(), moment()
	r.Digests, r.Sealed = p[:digests], p[digests:]
	return r
}

// detached returns r with slices of its own, nil if they are empty.
func detached(r otp.Record) otp.Record {
	n := len(r.Digests)
	b := append(append(make([]byte, 0, n+len(r.Sealed)), r.Digests...), r.Sealed...)
	r.Digests, r.Sealed = nil, nil
	if n > 0 {
		r.Digests = b[:n:n]
	}
	if len(b) > n {
		r.Sealed = b[n:]
	}
	return r
}

// micro is t as a record keeps times.
func micro(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
