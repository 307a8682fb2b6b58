package otp

import (
	"encoding/binary"
	"time"
)

// A payload is what a record keeps sealed: what a message and a Proof need, and a
// copy of every field that the store may not change. The record's ID is the
// associated data, so a payload moved to another record does not open.
//
//	len(key id) key id nonce[24] XChaCha20-Poly1305(fields)
type payload struct {
	created     time.Time
	expires     time.Time
	maxAttempts int
	maxSends    int
	liveCodes   int
	format      Format
	flags       byte
	nonce       []byte    // of the challenge, for references only
	level       int       // which of the policy's formats, for the tenant's guess limit
	tenantLease time.Time // when that limit was charged; zero if it was not
	usage       Usage
	subject     string
	binding     string
	locale      string
	extra       []byte
	routes      []Route // the first is the one of the request
}

const (
	flagDecoy   = 1 << iota // nothing is ever sent, and no code verifies
	flagConceal             // answers must not tell about subject and recipient
	flagHalf                // the reservation had to fit in half of what was left
	flagFree                // a test number: no limits
)

func (p *payload) has(flag byte) bool { return p.flags&flag != 0 }

const payloadVersion = 1

func (s *keySet) seal(recordID string, p *payload) []byte {
	b := make([]byte, 0, 256)
	b = appendField(b, s.id)
	b = appendRandom(b, s.payload.NonceSize())
	start := len(b)
	nonce := b[start-s.payload.NonceSize():]

	b = append(b, payloadVersion, p.flags)
	b = appendTime(b, p.created)
	b = appendTime(b, p.expires)
	b = append(b, byte(p.maxAttempts), byte(p.maxSends), byte(p.liveCodes), byte(p.format.Length), p.format.alphabetCode(), byte(p.level))
	b = appendField(b, p.nonce)
	b = appendTime(b, p.tenantLease)
	b = appendField(b, string(p.usage))
	b = appendField(b, p.subject)
	b = appendField(b, p.binding)
	b = appendField(b, p.locale)
	b = appendField(b, p.extra)
	b = append(b, byte(len(p.routes)))
	for _, r := range p.routes {
		b = appendField(b, string(r.Channel))
		b = appendField(b, r.To)
	}
	return s.payload.Seal(b[:start], nonce, b[start:], []byte(recordID))
}

// unseal opens the payload of a record and compares every copied field. An error
// means that somebody changed the row, or that the key is retired; both deny.
func (s *keys) unseal(r *Record) (p payload, k *keySet, err error) {
	in := fields{b: r.Sealed}
	k = s.byID[string(in.field())]
	if k == nil || in.bad {
		return p, nil, ErrNotFound
	}
	n := k.payload.NonceSize()
	if len(in.b) < n {
		return p, nil, errTampered
	}
	b, err := k.payload.Open(nil, in.b[:n], in.b[n:], []byte(r.ID))
	if err != nil {
		return p, nil, errTampered
	}
	in = fields{b: b}
	if in.byte() != payloadVersion {
		return p, nil, errTampered
	}
	p.flags = in.byte()
	p.created, p.expires = in.time(), in.time()
	p.maxAttempts, p.maxSends, p.liveCodes = int(in.byte()), int(in.byte()), int(in.byte())
	p.format = Format{Length: int(in.byte()), Alphabet: alphabetOf(in.byte())}
	p.level = int(in.byte())
	p.nonce = in.field()
	p.tenantLease = in.time()
	p.usage = Usage(in.field())
	p.subject, p.binding, p.locale = string(in.field()), string(in.field()), string(in.field())
	p.extra = in.field()
	p.routes = make([]Route, in.byte())
	for i := range p.routes {
		p.routes[i] = Route{Channel: Channel(in.field()), To: string(in.field())}
	}
	if in.bad || len(in.b) > 0 || len(p.routes) == 0 ||
		!p.created.Equal(r.CreatedAt) || !p.expires.Equal(r.ExpiresAt) ||
		p.maxAttempts != r.MaxAttempts || p.maxSends != r.MaxSends {
		return p, nil, errTampered
	}
	return p, k, nil
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()))
}

// fields reads what appendField and appendTime wrote. After a fault it returns zeros
// and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n uint64) []byte {
	if n > uint64(len(f.b)) {
		f.b, f.bad = nil, true
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) byte() byte {
	if v := f.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (f *fields) field() []byte {
	n, size := binary.Uvarint(f.b)
	if size <= 0 {
		f.b, f.bad = nil, true
		return nil
	}
	f.b = f.b[size:]
	return f.take(n)
}

func (f *fields) time() time.Time {
	v := f.take(8)
	if v == nil {
		return time.Time{}
	}
	us := binary.BigEndian.Uint64(v)
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(us)).UTC()
}
