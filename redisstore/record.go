package redisstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"otp.example/otp"
)

// The layout of a record is explained in lua/record.lua.
const (
	headSize = 26                                       // without Sealed
	tailSize = 1 + fieldsSize + refusedSize + operation // of a change, without its digests

	fieldsSize  = 1 + 4 + 4 + 8
	refusedSize = 1 + 8
	operation   = 8
)

// slack is how long a record is kept after its end: clocks differ, and who comes late is
// told that the code has expired.
const slack = time.Hour

var errRecord = errors.New("redisstore: what is stored is not a record")

// appendHead appends what never changes.
func appendHead(b []byte, r *otp.Record) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(r.MaxAttempts))
	b = binary.BigEndian.AppendUint32(b, uint32(r.MaxSends))
	b = binary.BigEndian.AppendUint64(b, uint64(r.CreatedAt.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ExpiresAt.UnixMicro()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Sealed)))
	return append(b, r.Sealed...)
}

// appendFields appends what changes.
func appendFields(b []byte, r *otp.Record) []byte {
	b = append(b, byte(r.State))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Attempts))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Sends))
	return binary.BigEndian.AppendUint64(b, uint64(r.SentAt.UnixMicro()))
}

// decodeRecord returns a record whose slices are its own.
func decodeRecord(id, value string) (otp.Record, error) {
	b := []byte(value)
	if len(b) < headSize {
		return otp.Record{}, errRecord
	}
	head := headSize + int(binary.BigEndian.Uint16(b[headSize-2:]))
	tail := len(b) - tailSize
	if tail <= head {
		return otp.Record{}, errRecord
	}
	changes := head + 1 + int(b[head])*(refusedSize+operation)
	digests := tail - otp.DigestSize*int(b[tail])
	if digests < changes {
		return otp.Record{}, errRecord
	}
	last := b[tail+1:]
	return otp.Record{
		ID:          id,
		Digests:     b[digests:tail:tail],
		Sealed:      b[headSize:head:head],
		State:       otp.State(last[0]),
		Attempts:    int(binary.BigEndian.Uint32(last[1:])),
		MaxAttempts: int(binary.BigEndian.Uint32(b)),
		Sends:       int(binary.BigEndian.Uint32(last[5:])),
		MaxSends:    int(binary.BigEndian.Uint32(b[4:])),
		CreatedAt:   decodeTime(b[8:]),
		SentAt:      decodeTime(last[9:]),
		ExpiresAt:   decodeTime(b[16:]),
	}, nil
}

func decodeTime(b []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
}

// keptFor is how many milliseconds the server shall keep a record.
func keptFor(r *otp.Record, now time.Time) int64 {
	return (max(r.ExpiresAt.Sub(now), 0) + slack).Milliseconds()
}

// detached returns r as it will be read back, with slices of its own.
func detached(r otp.Record) otp.Record {
	r.Digests, r.Sealed = bytes.Clone(r.Digests), bytes.Clone(r.Sealed)
	r.CreatedAt, r.SentAt, r.ExpiresAt = micro(r.CreatedAt), micro(r.SentAt), micro(r.ExpiresAt)
	return r
}
