package storetest

import (
	"context"

	"otp.example/otp"
)

// A part is one charge of a call that has Silent ones.
type part uint

const (
	silent part = 1 << iota
	full        // it refuses
	made        // it must be charged
)

// silentRefusal is about charges whose refusal the caller's answer must not tell. Silent
// charges that would fit are not made then either, wherever they stand in the list.
func silentRefusal(ctx context.Context, s otp.ChargingStore) error {
	for _, row := range []struct {
		what    string
		charges []part
		applied bool
		digest  bool // it is added
		refused int  // the charge, counted from one
	}{
		{"with a Silent charge that fits", []part{made, silent | made}, true, true, 0},
		{"whose only charge is Silent and refused", []part{silent | full}, true, false, 1},
		{"whose first, Silent charge is refused", []part{silent | full, silent, made}, true, false, 1},
		{"whose last, Silent charge is refused", []part{made, silent, silent | full}, true, false, 3},
		{"with a refused charge and a Silent one that fits", []part{silent, full, 0}, false, false, 2},
		{"with a refused charge before a refused Silent one", []part{full, silent | full, silent}, false, false, 1},
		{"with a refused charge after a refused Silent one", []part{silent, silent | full, 0, full}, false, false, 4},
	} {
		all, err := changes(ctx, s, changing)
		if err != nil {
			return err
		}
		for _, c := range all {
			var accounts []*account
			var charges []otp.Charge
			var refused *account
			for i, p := range row.charges {
				a := newAccount(ctx, s, 3, 0)
				if p&full != 0 {
					a = newAccount(ctx, s, 2, 2)
				}
				if i+1 == row.refused {
					refused = a
				}
				charge := a.charge(1)
				charge.Silent = p&silent != 0
				accounts, charges = append(accounts, a), append(charges, charge)
			}
			var digest []byte
			if row.digest {
				digest = c.digest
			}
			c.expect(ctx, row.what, row.applied, digest, refused, charges...)
			for i, p := range row.charges {
				if p&made != 0 {
					accounts[i].used++
				}
			}
			if err := some([]error{c.err(), settle(ctx, c.name+" "+row.what, accounts...)}); err != nil {
				return err
			}
			if row.applied {
				// What was put or sent without its digest has no code of its own.
				c.spend(ctx, "with the code that came with "+c.name+" "+row.what, c.digest, now)
			}
			if err := c.err(); err != nil {
				return err
			}
		}
	}
	return silentOnOneMeter(ctx, s)
}

// silentOnOneMeter charges a meter with room for one loudly, then silently.
func silentOnOneMeter(ctx context.Context, s otp.ChargingStore) error {
	all, err := changes(ctx, s, changing)
	if err != nil {
		return err
	}
	for _, c := range all {
		const what = "with a charge and a Silent one on the same meter, which has room for one"
		a := newAccount(ctx, s, 3, 2)
		second := a.charge(1)
		second.Silent = true
		c.expect(ctx, what, true, nil, a, a.charge(1), second)
		a.used = 3
		if err := some([]error{c.err(), settle(ctx, c.name+" "+what, a)}); err != nil {
			return err
		}
	}
	return nil
}
