package phone_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/phone"
)

// S-86
func TestNormalize(t *testing.T) {
	for _, c := range []struct{ region, in, want string }{
		{"DE", "030 123456", "+4930123456"},
		{"DE", "030/123456", "+4930123456"},
		{"DE", "(030) 12-34-56", "+4930123456"},
		{"DE", "0049 30 123456", "+4930123456"},
		{"DE", "+49 30 123456", "+4930123456"},
		{"DE", "+49 (0)30 123456", "+4930123456"},
		{"DE", " +4930123456 ", "+4930123456"},
		{"DE", "+12025550100", "+12025550100"},
		{"US", "(202) 555-0100", "+12025550100"},
		{"US", "1 202 555 0100", "+12025550100"},
		{"US", "202.555.0100", "+12025550100"},
		{"US", "011 49 30 123456", "+4930123456"},
		{"IT", "06 1234 5678", "+390612345678"}, // keeps its zero
		{"", "+390612345678", "+390612345678"},
		{"GB", "020 7946 0018", "+442079460018"},
		{"AR", "011 15-2345-6789", "+5491123456789"},
		{"IN", "098765 43210", "+919876543210"},
		{"", "+49 30 123456", "+4930123456"},
		{"", "+870773111632", "+870773111632"}, // a satellite's, which a guard refuses

		{"", "030 123456", ""},
		{"", "4930123456", ""},
		{"DE", "", ""},
		{"DE", "+", ""},
		{"DE", "++4930123456", ""},
		{"DE", "49+30123456", ""},
		{"DE", "+0049 30 123456", ""},
		{"DE", "+030 123456", ""},
		{"DE", "+999 30 123456", ""},
		{"US", "555 0100", ""}, // without its area it could be anywhere
		{"US", "+15550100", ""},
		{"US", "911", ""},
		{"DE", "110", ""},
		{"US", "1-800-FLOWERS", ""},
		{"US", "202 555 0100 x5", ""},
		{"US", "202 555 0100 ext. 5", ""},
		{"US", "202 555 0100;ext=5", ""},
		{"US", "202 555 0100,,5", ""},
		{"US", "202 555 0100#5", ""},
		{"US", "tel:+12025550100", ""},
		{"US", "+12025550100;phone-context=+49", ""},
		{"US", "202 555 0100/202 555 0101", ""},
		{"US", "+12025550100,+12025550101", ""},
		{"US", "+12025550100\n", ""},
		{"US", "+12025550100\x00", ""},
		{"US", "\t2025550100", ""},
		{"US", "＋12025550100", ""},      // full-width
		{"US", "+１２０２５５５０１００", ""},      // full-width
		{"US", "٢٠٢٥٥٥٠١٠٠", ""},        // Arabic-Indic
		{"US", "२०२५५५०१००", ""},        // Devanagari
		{"US", "+12O25550100", ""},      // a letter
		{"US", "202\u00a0555 0100", ""}, // not the space that it looks like
		{"US", "202\u200b5550100", ""},
		{"US", strings.Repeat("2", 41), ""},
		{"US", "2025550100" + strings.Repeat(" ", 31), ""},
		{"DE", "10000000000000", ""}, // a possible national number, too long for E.164
		{"DE", "+49" + strings.Repeat("1", 20), ""},
	} {
		normalize, err := phone.New(c.region)
		require.NoError(t, err)
		for _, channel := range []otp.Channel{otp.SMS, otp.Voice, otp.WhatsApp, otp.Viber} {
			got, err := normalize(t.Context(), channel, c.in)
			if c.want == "" {
				require.EqualError(t, err, "otp/phone: not a telephone number", "%q: %s", c.in, got)
				require.Empty(t, got)
				continue
			}
			require.NoError(t, err, c.in)
			require.Equal(t, c.want, got)
		}
		for _, channel := range []otp.Channel{otp.Email, otp.Telegram, otp.Messenger, "push"} {
			got, err := normalize(t.Context(), channel, c.in)
			require.NoError(t, err)
			require.Equal(t, c.in, got)
		}
	}
}

// Every country's own example numbers, as they are dialed there, mean themselves.
func TestNormalizeExamples(t *testing.T) {
	seen := 0
	for region := range phonenumbers.GetSupportedRegions() {
		normalize, err := phone.New(region)
		require.NoError(t, err)
		for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.FIXED_LINE, phonenumbers.MOBILE} {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			want := phonenumbers.Format(example, phonenumbers.E164)
			for _, format := range []phonenumbers.PhoneNumberFormat{phonenumbers.E164, phonenumbers.INTERNATIONAL, phonenumbers.NATIONAL} {
				if region == "AR" && kind == phonenumbers.MOBILE && format == phonenumbers.NATIONAL {
					continue // the library writes it as nobody there does; it reads what they do write, above
				}
				got, err := normalize(t.Context(), otp.SMS, phonenumbers.Format(example, format))
				require.NoError(t, err, "%s %s", region, phonenumbers.Format(example, format))
				require.Equal(t, want, got, region)
				seen++
			}
		}
	}
	require.Greater(t, seen, 1000)
}

func TestNew(t *testing.T) {
	for _, region := range []string{"de", "D", "DEU", "ZZ", "001", "XX", "49", " DE"} {
		_, err := phone.New(region)
		require.EqualError(t, err, "otp/phone: region is not the code of a country, such as DE")
		_, err = phone.NewGuard("US", region)
		require.EqualError(t, err, "otp/phone: region is not the code of a country, such as DE")
	}
	_, err := phone.NewGuard()
	require.EqualError(t, err, "otp/phone: regions are required")
}

// S-46
func TestGuard(t *testing.T) {
	g, err := phone.NewGuard("DE", "US", "GB")
	require.NoError(t, err)
	for _, c := range []struct{ to, refused string }{
		{"+4930123456", ""},
		{"+4915112345678", ""},
		{"+12025550100", ""},
		{"+447400123456", ""},
		{"+33612345678", "numbers of region FR are not allowed"},
		{"+18765551234", "numbers of region JM are not allowed"}, // +1 too
		{"+18005551234", "numbers of this kind are not allowed"}, // toll free: the service pays
		{"+19002345678", "numbers of this kind are not allowed"}, // premium rate
		{"+499001234567", "numbers of this kind are not allowed"},
		{"+4918012345", "numbers of this kind are not allowed"},   // shared cost
		{"+447012345678", "numbers of this kind are not allowed"}, // personal, a favorite of fraud
		{"+448431234567", "numbers of this kind are not allowed"},
		{"+12005550100", "number is in a range that is not assigned"},
		{"+870773111632", "numbers of region 001 are not allowed"},
		{"+882161234567", "numbers of region 001 are not allowed"},
		{"+979123456789", "numbers of region 001 are not allowed"},
		{"+999123456789", "number is of no country"},
		{"+15550100", "number is of no country"},
	} {
		for _, r := range []otp.Request{
			{Channel: otp.SMS, To: c.to},
			{Channel: otp.Voice, To: c.to},
			{Channel: otp.WhatsApp, To: c.to}, // it may go on as a text message
			{Channel: otp.Telegram, To: c.to},
			{Channel: "push", To: c.to},
			{Channel: otp.Email, To: "ann@example.org", Fallback: []otp.Route{{Channel: otp.Email, To: "a@b.c"}, {Channel: otp.SMS, To: c.to}}},
		} {
			err := g.Check(t.Context(), r)
			if c.refused == "" {
				require.NoError(t, err, c.to)
				continue
			}
			require.ErrorIs(t, err, otp.ErrRefused, c.to)
			require.EqualError(t, err, "otp: refused: "+c.refused, c.to)
		}
		require.NoError(t, g.Check(t.Context(), otp.Request{Channel: otp.Email, To: c.to + "@example.com"}))
	}
	// What is no number costs nothing that a country decides; where only numbers can be, it is refused.
	for _, to := range []string{"@ann", "4242", "18765551234"} {
		for _, c := range []otp.Channel{otp.Telegram, otp.Messenger, "push"} {
			require.NoError(t, g.Check(t.Context(), otp.Request{Channel: c, To: to}))
		}
		for _, c := range []otp.Channel{otp.SMS, otp.Voice} {
			require.ErrorIs(t, g.Check(t.Context(), otp.Request{Channel: c, To: to}), otp.ErrRefused)
		}
	}
}

// What a guard refuses at any rate, the default one refuses too, and more.
func TestGuardIsStricterThanTheDefault(t *testing.T) {
	var all []string
	for region := range phonenumbers.GetSupportedRegions() {
		all = append(all, region)
	}
	g, err := phone.NewGuard(all...)
	require.NoError(t, err)
	for _, to := range []string{"+80012345678", "+80812345678", "+870773111632", "+878101234567890", "+881612345678", "+883510012345", "+888123456789", "+979123456789", "+19002345678"} {
		for _, c := range []otp.Channel{otp.SMS, otp.WhatsApp, otp.Telegram} {
			r := otp.Request{Channel: c, To: to}
			require.ErrorIs(t, otp.DefaultGuard().Check(t.Context(), r), otp.ErrRefused, to)
			require.ErrorIs(t, g.Check(t.Context(), r), otp.ErrRefused, to)
		}
	}
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// S-86: whatever is typed, the result is E.164, is its own result, and no digit was made up
// that a dialed prefix or the country does not explain.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		"030 123456", "+49 (0)30 123456", "0049301234", "(202) 555-0100", "1-800-FLOWERS", "+1202555010０", "+0030", "tel:+1", "+39 06 1234", "02 1 ext 5",
		"+52 1 55 1234 5678", "0 11 15 1234 5678", "+800 1234 5678", "9111", "+999", "+1 (((((((", "//////", "+()+", "00000000000000000000000000",
	} {
		for _, region := range []string{"", "DE", "US", "IT", "AR", "BR", "MX", "CN", "AU", "GB", "SM", "CI"} {
			f.Add(region, s)
		}
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, region, in string) {
		normalize, err := phone.New(region)
		if err != nil {
			return
		}
		got, err := normalize(ctx, otp.SMS, in)
		if err != nil {
			if got != "" {
				t.Fatalf("%q with an error", got)
			}
			return
		}
		if !e164.MatchString(got) {
			t.Fatalf("%q became %q", in, got)
		}
		for _, r := range []string{"", region, "US", "DE"} {
			n, err := phone.New(r)
			if err != nil {
				t.Fatal(err)
			}
			again, err := n(ctx, otp.SMS, got)
			if err != nil || again != got {
				t.Fatalf("%q became %q in %q and that %q, %v", in, got, r, again, err)
			}
		}
		if strings.Trim(in, "0123456789+ -./()") != "" {
			t.Fatalf("%q became %q", in, got)
		}
		// The last digits are the typed ones: nobody else's number was made of it.
		typed := strings.NewReplacer("+", "", " ", "", "-", "", ".", "", "/", "", "(", "", ")", "").Replace(in)
		if tail := got[len(got)-4:]; !strings.HasSuffix(typed, tail) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

// FuzzGuard: nothing that is not a number of its region gets through.
func FuzzGuard(f *testing.F) {
	f.Add("+12025550100")
	f.Add("+19002345678")
	f.Add("12025550100")
	g, err := phone.NewGuard("US")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		if g.Check(t.Context(), otp.Request{Channel: otp.SMS, To: to}) != nil {
			return
		}
		if !strings.HasPrefix(strings.TrimLeft(to, " ("), "+1") {
			t.Fatalf("%q got through", to)
		}
	})
}
