package redisstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"otp.example/otp"
)

// stored is a record as the script of Put writes it.
func stored(r *otp.Record, op string) []byte {
	b := append(appendHead(nil, r), 0)
	b = append(b, r.Digests...)
	b = append(b, byte(len(r.Digests)/otp.DigestSize))
	b = appendFields(b, r)
	b = append(b, make([]byte, refusedSize)...)
	return append(b, op...)
}

var example = otp.Record{
	ID: "id", Digests: bytes.Repeat([]byte{7}, 2*otp.DigestSize), Sealed: []byte("sealed"), State: otp.StatePending,
	Attempts: 1, MaxAttempts: math.MaxInt32, Sends: 2, MaxSends: 3,
	CreatedAt: time.UnixMicro(math.MinInt64).UTC(), SentAt: time.UnixMicro(1).UTC(), ExpiresAt: time.UnixMicro(maxTime - 1).UTC(),
}

func TestDecodeOutcome(t *testing.T) {
	charges := []otp.Charge{{Scope: "first"}, {Scope: "second"}}
	refusal := func(number byte) string {
		return string(binary.BigEndian.AppendUint64([]byte{number}, 1_500_000))
	}
	live := string(stored(&example, "somebody"))
	tests := []struct {
		name, reply string
		want        otp.Outcome
		fails       bool
	}{
		{"applied", string(stored(&example, "operated")), otp.Outcome{Record: example, Applied: true}, false},
		{"of another", live, otp.Outcome{Record: example}, false},
		{"refused", refusal(2) + nobody, otp.Outcome{Refused: &otp.Refusal{Scope: "second", RetryAfter: 1500 * time.Millisecond}}, false},
		{"silent", refusal(1) + "operated", otp.Outcome{Applied: true, Refused: &otp.Refusal{Scope: "first", RetryAfter: 1500 * time.Millisecond}}, false},
		{"refusal of another", refusal(1) + "somebody", otp.Outcome{}, false},
		{"unknown charge", refusal(3) + nobody, otp.Outcome{}, true},
		{"short", "operated", otp.Outcome{}, true},
		{"empty", "", otp.Outcome{}, true},
		{"torn record", live[1:], otp.Outcome{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeOutcome("id", test.reply, []byte("operated and more"), charges)
			if (err != nil) != test.fails {
				t.Fatalf("the error is %v", err)
			}
			if err == nil && !reflect.DeepEqual(got, test.want) {
				t.Fatalf("%+v should be %+v", got, test.want)
			}
		})
	}
}

// The layout of otp.Meter is what sqlstore keeps, too, so it does not change unnoticed.
func TestReadEntry(t *testing.T) {
	at := time.UnixMicro(1_000_001)
	tests := []struct {
		name   string
		limits []otp.Limit
		want   entry
	}{
		{"window", []otp.Limit{{N: 5, Per: time.Second}}, entry{keep: 1e6, windows: true, at: 1_000_001}},
		{"rounded", []otp.Limit{{N: 500, Per: 64 * time.Second}}, entry{keep: 64e6, windows: true, at: 2e6}},
		{"total", []otp.Limit{{N: 5}, {N: 6}}, entry{total: 2}},
		{"both", []otp.Limit{{N: 5}, {N: 5, Per: time.Minute}}, entry{keep: 60e6, total: 1, windows: true, at: 1_000_001}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, d := otp.Meter(nil).Take(1, test.limits, at)
			got, err := readEntry(m)
			if !d.OK || err != nil || got != test.want {
				t.Fatalf("%+v, %v should be %+v", got, err, test.want)
			}
		})
	}
	for _, m := range []otp.Meter{nil, {1}, {1, 1}, {1, 0, 1}, {1, 1, 1, 1}, {0x80}, {1, 0, 1, 1, 1}, {1, 1, 1, 1, 1, 1}} {
		if e, err := readEntry(m); err == nil {
			t.Errorf("%v is read as %+v", m, e)
		}
	}
}

func TestCheckRecordNamesTheCount(t *testing.T) {
	for name, change := range map[string]func(r *otp.Record, n int){
		"Attempts":    func(r *otp.Record, n int) { r.Attempts = n },
		"MaxAttempts": func(r *otp.Record, n int) { r.MaxAttempts = n },
		"Sends":       func(r *otp.Record, n int) { r.Sends = n },
		"MaxSends":    func(r *otp.Record, n int) { r.MaxSends = n },
	} {
		for n, valid := range map[int]bool{-1: false, 0: true, maxCount: true, maxCount + 1: false} {
			r := example
			change(&r, n)
			err := checkRecord(&r)
			if valid != (err == nil) || !valid && !strings.Contains(err.Error(), fmt.Sprintf("record %s is %d ", name, n)) {
				t.Errorf("with %s %d the error is %v", name, n, err)
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add("")
	f.Add(string(stored(&example, "operated")))
	f.Fuzz(func(t *testing.T, value string) {
		r, err := decodeRecord("id", value)
		if err != nil {
			return
		}
		if len(r.Digests)%otp.DigestSize != 0 || len(r.Digests)+len(r.Sealed)+headSize+tailSize > len(value) {
			t.Fatalf("%d bytes hold %d of digests and %d sealed", len(value), len(r.Digests), len(r.Sealed))
		}
		again, err := decodeRecord("id", string(stored(&r, "operated")))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v, %v should be %+v", again, err, r)
		}
	})
}

func FuzzReadEntry(f *testing.F) {
	f.Add([]byte{1, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readEntry(b)
		if err == nil && !e.windows && e.at != 0 {
			t.Fatalf("%+v has a time without a window", e)
		}
	})
}

func TestGlob(t *testing.T) {
	if got, want := glob(`a*[b]?^-\c:`), `a\*\[b\]\?\^\-\\c:`; got != want {
		t.Fatalf("%s should be %s", got, want)
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{"6.2.0": true, "6.0.16": false, "7.0.15": true, "10.0": true, "": false, "x.y": false, "7": false} {
		if atLeast(version, 6, 2) != want {
			t.Errorf("%q", version)
		}
	}
}
