package phone

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"otp.example/otp"
)

// guard refuses what is not in it.
type guard map[string]bool

// NewGuard returns a Guard that lets messages and calls through to ordinary numbers of the
// given regions (ISO 3166-1, two letters) only: fixed, mobile and voice over IP. Premium
// rate, shared cost, personal, company and pager numbers of the same countries are
// refused, and so are ranges that are assigned to nobody. Regions that share a country
// code are told apart: "US" does not include the islands of +1.
//
// A number is what SMS and Voice send to, and on any other channel but Email a recipient that
// begins with "+": what WhatsApp or Telegram does not take may go on as a text message, by
// an otp.Failover on the same channel. Other recipients are let through.
//
// It takes the place of otp.DefaultGuard, which lets every country through.
func NewGuard(regions ...string) (otp.Guard, error) {
	if len(regions) == 0 {
		return nil, errors.New("otp/phone: regions are required")
	}
	g := guard{}
	for _, region := range regions {
		if !isRegion(region) {
			return nil, errRegion
		}
		g[region] = true
	}
	return g, nil
}

// Check implements [otp.Guard].
func (g guard) Check(_ context.Context, r otp.Request) error {
	for _, route := range append([]otp.Route{{Channel: r.Channel, To: r.To}}, r.Fallback...) {
		if !isNumber(route) {
			continue
		}
		if err := g.number(route.To); err != nil {
			return err
		}
	}
	return nil
}

func isNumber(r otp.Route) bool {
	switch r.Channel {
	case otp.SMS, otp.Voice:
		return true
	case otp.Email:
		return false // an address may begin with +
	}
	return strings.HasPrefix(r.To, "+")
}

func (g guard) number(to string) error {
	number, err := parse(to, "")
	if err != nil {
		return fmt.Errorf("%w: number is of no country", otp.ErrRefused)
	}
	switch region := phonenumbers.GetRegionCodeForNumber(number); {
	case region == "" || region == "ZZ":
		return fmt.Errorf("%w: number is in a range that is not assigned", otp.ErrRefused)
	case !g[region]:
		return fmt.Errorf("%w: numbers of region %s are not allowed", otp.ErrRefused, region)
	}
	switch phonenumbers.GetNumberType(number) {
	case phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE, phonenumbers.VOIP:
		return nil
	}
	return fmt.Errorf("%w: numbers of this kind are not allowed", otp.ErrRefused)
}
