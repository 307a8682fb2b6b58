package phone

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"otp.example/otp"
)

var (
	errRegion = errors.New("otp/phone: region is not the code of a country, such as DE")
	errNumber = errors.New("otp/phone: not a telephone number")
)

// maxTyped is longer than any number with its spaces. Longer ones are not looked at.
const maxTyped = 40

// New returns a function for otp.Config.Normalize. It turns recipients of the channels
// SMS, Voice, WhatsApp and Viber into E.164 and leaves those of others unchanged, so it
// can be chained with others. It is safe for concurrent use.
//
// Numbers without + are taken as they are dialed in region, two letters of ISO 3166-1.
// An empty region means that only numbers with + and country code are taken.
//
// Digits are ASCII digits, and what may stand between them is space, '-', '.', '/', '('
// and ')'. Letters, extensions, digits of other scripts and characters that look like a
// '+' are refused, not guessed at (and so is what is too long or too short for its
// country).
func New(region string) (func(ctx context.Context, c otp.Channel, to string) (string, error), error) {
	if region != "" && !isRegion(region) {
		return nil, errRegion
	}
	return func(_ context.Context, c otp.Channel, to string) (string, error) {
		switch c {
		case otp.SMS, otp.Voice, otp.WhatsApp, otp.Viber:
			return normalize(region, to)
		}
		return to, nil
	}, nil
}

func isRegion(s string) bool { return phonenumbers.GetSupportedRegions()[s] }

func normalize(region, to string) (string, error) {
	digits, international, ok := read(to)
	if !ok {
		return "", errNumber
	}
	number, err := parse(to, region)
	if err != nil {
		return "", err
	}
	// Where what comes after the + is no country code, the parser takes it for a national
	// number.
	if international && !strings.HasPrefix(digits, strconv.Itoa(int(number.GetCountryCode()))) {
		return "", errNumber
	}
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	if len(e164) < len("+1234567") || len(e164) > len("+123456789012345") {
		return "", errNumber // national numbers can be shorter and longer than E.164 has them
	}
	// What is metered and sent to must be the same however often it was normalized.
	if again, err := parse(e164, ""); err != nil || phonenumbers.Format(again, phonenumbers.E164) != e164 {
		return "", errNumber
	}
	return e164, nil
}

// read returns the digits of s, and whether it starts with +, if it has nothing else than
// a number may have.
func read(s string) (digits string, international, ok bool) {
	if len(s) > maxTyped {
		return "", false, false
	}
	var d strings.Builder
	for i, c := range []byte(strings.Trim(s, " ")) {
		switch {
		case c >= '0' && c <= '9':
			d.WriteByte(c)
		case c == '+' && i == 0:
			international = true
		case strings.IndexByte(" -./()", c) < 0:
			return "", false, false
		}
	}
	return d.String(), international, d.Len() > 0
}

func parse(s, region string) (*phonenumbers.PhoneNumber, error) {
	if region == "" {
		region = "ZZ" // the library's name for none
	}
	number, err := phonenumbers.Parse(s, region)
	// IsPossibleNumber would take a local number without its area code.
	if err != nil || phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE {
		return nil, errNumber
	}
	return number, nil
}
