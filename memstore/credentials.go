package memstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"strconv"
	"time"

	"otp.example/otp"
)

// LoadCredentials returns the value of a key, empty if there is none.
func (s *Store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	if err := errors.Join(done(ctx), checkKey(key)); err != nil {
		return nil, err
	}
	h := maphash.String(s.seed, key)
	sh := s.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return bytes.Clone(sh.credentials(sh.find(kindCredentials, key, h))), nil
}

// SwapCredentials replaces old by value if old is what is held, and reports whether it
// did. A key that is new to a full store is refused with [ErrFull].
func (s *Store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	err := errors.Join(done(ctx), checkKey(key), checkLen("credentials", len(value), otp.MaxCredentials))
	if err != nil {
		return false, err
	}
	h := maphash.String(s.seed, key)
	sh := s.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(kindCredentials, key, h)
	switch {
	case !bytes.Equal(sh.credentials(i), old):
		return false, nil
	case len(value) == 0:
		if i != 0 {
			sh.remove(i)
		}
		return true, nil
	case i == 0 && !s.room.take(1, entryCost(len(key)+untilSize+len(value))):
		return false, ErrFull
	}
	at := int64(never)
	if !until.IsZero() {
		at = until.UnixMicro()
	}
	value = append(binary.BigEndian.AppendUint64(make([]byte, 0, untilSize+len(value)), uint64(at)), value...)
	if i == 0 {
		i = sh.insert(kindCredentials, key, h, value)
	} else {
		sh.update(i, value)
		sh.unschedule(i)
	}
	if at != never {
		sh.schedule(i, at)
	}
	return true, nil
}

// ListCredentials returns the keys of one part of the store at a time, whatever max is.
func (s *Store) ListCredentials(ctx context.Context, cursor string, _ int) (keys []string, next string, err error) {
	if err := done(ctx); err != nil {
		return nil, "", err
	}
	n := 0
	if cursor != "" {
		if n, err = strconv.Atoi(cursor); err != nil || n < 0 || n >= shardCount {
			return nil, "", errors.New("memstore: cursor malformed")
		}
	}
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, slot := range sh.slots {
		if slot.cell != 0 && sh.at(slot.cell).data[atKind] == kindCredentials {
			keys = append(keys, sh.key(slot.cell))
		}
	}
	if n++; n < shardCount {
		next = strconv.Itoa(n)
	}
	return keys, next, nil
}

// The value of credentials begins with the time at which they may be forgotten.
const untilSize = 8

func decodeUntil(v []byte) int64 { return int64(binary.BigEndian.Uint64(v)) }

// credentials returns what the entry at i holds, nothing if i is zero.
func (s *shard) credentials(i uint32) []byte {
	if i == 0 {
		return nil
	}
	return s.value(i)[untilSize:]
}

// key returns the key of the entry at i.
func (s *shard) key(i uint32) string {
	end := head + int(s.at(i).data[atKeyLen])
	return string(s.read(nil, i)[head:end])
}
