package sqlstore

import (
	"errors"
	"fmt"
	"strings"

	"otp.example/otp"
)

// A call names what failed. After an error nothing else is answered: what was done in a
// transaction that could not be committed is not so.
type call string

func (c call) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, otp.ErrNotFound): // it is an answer
		return otp.ErrNotFound
	default:
		return fmt.Errorf("sqlstore: %s: %w", string(c), err)
	}
}

func (c call) change(r otp.Record, applied bool, err error) (otp.Record, bool, error) {
	if err != nil {
		return otp.Record{}, false, c.fault(err)
	}
	return r, applied, nil
}

func (c call) outcome(out otp.Outcome, err error) (otp.Outcome, error) {
	if err != nil {
		return otp.Outcome{}, c.fault(err)
	}
	return out, nil
}

// A fault is a kind of error after which the server has changed nothing.
type fault int

const (
	faultOther fault = iota // and nothing is known
	faultRetry              // a deadlock, a lock that was waited for too long, a row that came in between
	faultBusy               // SQLite: another process writes
	faultDone               // SQLite: there is no transaction to roll back
)

// kind tells faults apart without importing a driver. PostgreSQL's drivers have a
// method for the code, MySQL's begins its text with the number, and SQLite's have
// nothing in common but the text.
func kind(err error) fault {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch state.SQLState() {
		case "40001", "40P01", "23505":
			return faultRetry
		}
		return faultOther
	}
	text := err.Error()
	// 1467 is a deadlock over the next number of a row.
	for _, number := range []string{"Error 1213", "Error 1205", "Error 1062", "Error 1467"} {
		if strings.Contains(text, number) {
			return faultRetry
		}
	}
	switch {
	case strings.Contains(text, "database is locked"):
		return faultBusy
	case strings.Contains(text, "no transaction is active"):
		return faultDone
	}
	return faultOther
}
