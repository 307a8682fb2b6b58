package otp_test

import (
	"math/rand/v2"
	"net/mail"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func requireRecipient(t *testing.T, c otp.Channel, to string, want string) {
	t.Helper()
	got, problem := otp.CanonicalRecipient(c, to)
	if want == "" {
		require.NotEmpty(t, problem, "%q was accepted as %q", to, got)
		require.Empty(t, got)
		if len(to) > 4 { // shorter ones stand in any text
			require.NotContains(t, problem, to, "an error tells the field, never its value")
		}
		return
	}
	require.Empty(t, problem, "%q was refused", to)
	require.Equal(t, want, got)
}

// S-86 FM-37: strict E.164, and the form that is stored is the form that is sent to.
func TestPhoneNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, to string
		want     bool
	}{
		{"German mobile", "+4915112345678", true},
		{"North American", "+12025550100", true},
		{"shortest", "+1234567", true},
		{"longest", "+123456789012345", true},

		{"empty", "", false},
		{"too short", "+123456", false},
		{"too long", "+1234567890123456", false},
		{"no plus", "4915112345678", false},
		{"only a plus", "+", false},
		{"two pluses", "++4915112345678", false},
		{"plus at the end", "4915112345678+", false},
		{"leading zero", "+04915112345678", false},
		{"international prefix", "004915112345678", false},
		{"national", "015112345678", false},
		{"spaces", "+49 151 12345678", false},
		{"space before", " +4915112345678", false},
		{"space after", "+4915112345678 ", false},
		{"hyphens", "+49-151-12345678", false},
		{"dots", "+49.151.12345678", false},
		{"slash", "+49151/12345678", false},
		{"trunk zero in parentheses", "+49(0)15112345678", false},
		{"extension", "+4915112345678;ext=5", false},
		{"tel URI", "tel:+4915112345678", false},
		{"letters", "+1800FLOWERS", false},
		{"two numbers", "+4915112345678,+4915112345679", false},
		{"line feed", "+4915112345678\n", false},
		{"CRLF and a header", "+4915112345678\r\nX: y", false},
		{"NUL", "+4915112345678\x00", false},
		{"full-width digits", "+\uff14\uff1915112345678", false},
		{"full-width plus", "\uff0b4915112345678", false},
		{"Arabic-Indic digits", "+\u0664\u066915112345678", false},
		{"no-break space", "+49\u00a015112345678", false},
		{"zero-width space", "+4915112345678\u200b", false},
		{"bidi override", "\u202e+4915112345678", false},
		{"an e-mail address", "anna@example.com", false},
		{"pause", "+4915112345678p123", false},
		{"star code", "+49*31#123456", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []otp.Channel{otp.SMS, otp.Voice, otp.WhatsApp, otp.Viber} {
				if tt.want {
					requireRecipient(t, c, tt.to, tt.to)
				} else {
					requireRecipient(t, c, tt.to, "")
				}
			}
		})
	}
}

// S-86 FM-36 FM-37 FM-38: one ASCII address, one reading. What parsers read differently
// is refused.
func TestEmailAddresses(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("a", n) }
	// domain returns a domain of n bytes.
	domain := func(n int) string {
		var b strings.Builder
		for b.Len() < n-40 {
			b.WriteString(long(30) + ".")
		}
		return b.String() + long(n-b.Len()-4) + ".com"
	}
	tests := []struct{ name, to, want string }{
		{"plain", "anna@example.com", "anna@example.com"},
		{"case of the domain", "anna@EXAMPLE.Com", "anna@example.com"},
		{"case of the local part is its host's", "Anna.Ng@example.com", "Anna.Ng@example.com"},
		{"tag", "anna+shop@example.com", "anna+shop@example.com"},
		{"subdomains", "a@b.c.example.com", "a@b.c.example.com"},
		{"apostrophe", "o'brien@example.com", "o'brien@example.com"},
		{"symbols of RFC 5322", "!#$%&'*+-/?=^_`{|}~@example.com", "!#$%&'*+-/?=^_`{|}~@example.com"},
		{"international domain in ASCII", "anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
		{"international top-level domain", "anna@example.xn--p1ai", "anna@example.xn--p1ai"},
		{"digits in a label", "anna@3com.example.com", "anna@3com.example.com"},
		{"one-letter domain", "a@b.co", "a@b.co"},
		{"local part of 64", long(64) + "@example.com", long(64) + "@example.com"},
		{"254 in all", "a@" + domain(252), "a@" + domain(252)},
		{"label of 63", "a@" + long(63) + ".com", "a@" + long(63) + ".com"},

		{"empty", "", ""},
		{"no at", "anna.example.com", ""},
		{"only at", "@", ""},
		{"no local part", "@example.com", ""},
		{"no domain", "anna@", ""},
		{"two ats", "anna@x@example.com", ""},
		{"two ats side by side", "anna@@example.com", ""},
		{"full-width at", "anna\uff20example.com", ""},
		{"full-width and ASCII at", "anna\uff20evil.com@example.com", ""},
		{"small at", "anna\ufe6bexample.com", ""},
		{"local part of 65", long(65) + "@example.com", ""},
		{"255 in all", "a@" + domain(253), ""},
		{"label of 64", "a@" + long(64) + ".com", ""},
		{"quoted local part", `"anna"@example.com`, ""},
		{"quoted at", `"anna@evil.com"@example.com`, ""},
		{"quoted space", `"anna ng"@example.com`, ""},
		{"escaped", `anna\@evil.com@example.com`, ""},
		{"IPv4 literal", "anna@[192.0.2.1]", ""},
		{"IPv6 literal", "anna@[IPv6:2001:db8::1]", ""},
		{"IPv4 address", "anna@192.0.2.1", ""},
		{"decimal IPv4 address", "anna@3221225985", ""},
		{"top-level domain of digits", "anna@example.123", ""},
		{"host without a dot", "anna@localhost", ""},
		{"trailing dot", "anna@example.com.", ""},
		{"leading dot of the domain", "anna@.example.com", ""},
		{"empty label", "anna@example..com", ""},
		{"leading dot", ".anna@example.com", ""},
		{"dot before the at", "anna.@example.com", ""},
		{"two dots", "an..na@example.com", ""},
		{"hyphen first", "anna@-example.com", ""},
		{"hyphen last", "anna@example-.com", ""},
		{"underscore in the domain", "anna@ex_ample.com", ""},
		{"percent in the domain", "anna@exa%6dple.com", ""},
		{"port", "anna@example.com:25", ""},
		{"path", "anna@example.com/x", ""},
		{"query", "anna@example.com?cc=eve@evil.com", ""},
		{"list with a comma", "anna@example.com,eve@evil.com", ""},
		{"list with a semicolon", "anna@example.com;eve@evil.com", ""},
		{"list with a space", "anna@example.com eve@evil.com", ""},
		{"list with a line feed", "anna@example.com\neve@evil.com", ""},
		{"group", "friends:anna@example.com;", ""},
		{"display name", "Anna <anna@example.com>", ""},
		{"angle brackets", "<anna@example.com>", ""},
		{"comment", "anna(work)@example.com", ""},
		{"comment in the domain", "anna@example.com(work)", ""},
		{"route", "<@evil.com:anna@example.com>", ""},
		{"space before", " anna@example.com", ""},
		{"space after", "anna@example.com ", ""},
		{"space inside", "an na@example.com", ""},
		{"CRLF and a header", "anna@example.com\r\nBcc: eve@evil.com", ""},
		{"CRLF in the local part", "anna\r\n@example.com", ""},
		{"carriage return", "anna@example.com\r", ""},
		{"NUL", "anna@example.com\x00.evil.com", ""},
		{"DEL", "anna\x7f@example.com", ""},
		{"tab", "anna\t@example.com", ""},
		{"mailto", "mailto:anna@example.com", ""},
		{"encoded word", "=?utf-8?q?anna=40evil.com=3e?=@example.com", ""},
		{"encoded word in base64", "=?utf-8?b?YUBldmlsLmNvbT4=?=@example.com", ""},
		{"raw international domain", "anna@b\u00fccher.example", ""},
		{"full-width letters in the domain", "anna@\uff45xample.com", ""},
		{"ideographic full stop", "anna@example\u3002com", ""},
		{"accent in the local part", "\u00e1nna@example.com", ""},
		{"Cyrillic letter", "\u0430nna@example.com", ""},
		{"dotless i", "ann\u0131@example.com", ""},
		{"Kelvin sign", "\u212aate@example.com", ""},
		{"soft hyphen", "an\u00adna@example.com", ""},
		{"zero-width space", "anna\u200b@example.com", ""},
		{"byte order mark", "\ufeffanna@example.com", ""},
		{"bidi override", "anna@\u202eexample.com", ""},
		{"invalid UTF-8", "ann\xe1@example.com", ""},
		{"a phone number", "+4915112345678", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requireRecipient(t, otp.Email, tt.to, tt.want)
		})
	}
}

// S-86: other channels have identifiers that this package cannot read. They name one
// recipient, in printable ASCII.
func TestOpaqueRecipients(t *testing.T) {
	t.Parallel()
	for _, c := range []otp.Channel{otp.Messenger, otp.Telegram, "push", "matrix"} {
		for _, to := range []string{
			"1", "123456789", "-1001234567890", "@anna:example.com", "fcm:APA91b_x-y.z", "urn:uuid:6e8bc430", "a/b?c=d&e#f",
			"Anna", strings.Repeat("x", 254), "!$%*+=^_`{|}~", "+4930123456",
		} {
			requireRecipient(t, c, to, to)
		}
		for _, to := range []string{
			"", strings.Repeat("x", 255), "a b", " a", "a ", "a,b", "a;b", "<a>", `"a"`, "'a'", `a\b`, "a\r\nb", "a\x00", "a\x7f", "a\tb",
			"\u00e4", "a\u200b", "\uff11", "\xff",
		} {
			requireRecipient(t, c, to, "")
		}
	}
}

// S-44 FM-15: what reaches one mailbox is counted under one key.
func TestAliasesShareAKey(t *testing.T) {
	t.Parallel()
	// Not crypto/rand: a seed that fails can be run again.
	random := rand.New(rand.NewPCG(44, 15))
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-_'"
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	otherCase := func(s string) string {
		b := []byte(s)
		for i, c := range b {
			if unicode.IsLetter(rune(c)) && random.IntN(2) == 0 {
				b[i] = c ^ 0x20
			}
		}
		return string(b)
	}
	aliases := 0
	for range 10_000 {
		local, domain := word(1+random.IntN(12)), "mail"+string(rune('a'+random.IntN(26)))+".example"
		base, problem := otp.CanonicalRecipient(otp.Email, local+"@"+domain)
		if problem != "" {
			continue
		}
		want := otp.Mailbox(otp.Email, base)
		for range 14 {
			alias := otherCase(local)
			if random.IntN(2) == 0 {
				alias += "+" + strings.Repeat(word(1+random.IntN(8)), random.IntN(2))
			}
			alias, problem = otp.CanonicalRecipient(otp.Email, alias+"@"+otherCase(domain))
			if problem != "" {
				continue // a dot beside another
			}
			aliases++
			require.Equal(t, want, otp.Mailbox(otp.Email, alias), "%s and %s", base, alias)
		}
		other, problem := otp.CanonicalRecipient(otp.Email, "x"+local+"@"+domain)
		require.Empty(t, problem)
		require.NotEqual(t, want, otp.Mailbox(otp.Email, other), "somebody else")
	}
	require.Greater(t, aliases, 100_000)
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		channel otp.Channel
		to      string
		want    string
	}{
		{"plain", otp.Email, "anna@example.com", "anna@example.com"},
		{"case", otp.Email, "ANNA@example.com", "anna@example.com"},
		{"tag", otp.Email, "anna+a@example.com", "anna@example.com"},
		{"empty tag", otp.Email, "anna+@example.com", "anna@example.com"},
		{"several tags", otp.Email, "anna+a+b@example.com", "anna@example.com"},
		{"only a tag is a name", otp.Email, "+anna@example.com", "+anna@example.com"},
		{"dots count, but for some hosts", otp.Email, "an.na@example.com", "an.na@example.com"},
		{"number", otp.SMS, "+4930123456", "+4930123456"},
		{"opaque names have case", otp.Telegram, "Anna+a@x", "Anna+a@x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, otp.Mailbox(tt.channel, tt.to))
		})
	}
	// S-43: the same number is the same person on every channel that has numbers.
	for _, c := range []otp.Channel{otp.SMS, otp.Voice, otp.WhatsApp, otp.Viber} {
		require.Equal(t, "+4930123456", otp.Mailbox(c, "+4930123456"))
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"+4915112345678": "+491511234", "+1234567": "+123", "anna@example.com": "", "": "", "4915112345678": "", "@anna": "", "+49151abcd": "",
	} {
		require.Equal(t, want, otp.Prefix(to), to)
	}
}

// S-83: the owner recognizes it, nobody else can reach it.
func TestMask(t *testing.T) {
	t.Parallel()
	tests := []struct {
		channel  otp.Channel
		to, want string
	}{
		{otp.Email, "anna.ng@example.com", "a***@example.com"},
		{otp.Email, "ann@example.com", "a***@example.com"},
		{otp.Email, "an@example.com", "***@example.com"},
		{otp.Email, "a@example.com", "***@example.com"},
		{otp.SMS, "+4915112345678", "+49***78"},
		{otp.SMS, "+123456789", "+12***89"},
		{otp.SMS, "+12345678", "+1***"},
		{otp.SMS, "+1234567", "+1***"},
		{otp.Telegram, "@anna", "***"},
		{otp.Telegram, "1", "***"},
		{otp.Telegram, "-1001234567890", "-10***90"},
		{otp.SMS, "", ""},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, otp.Mask(tt.channel, tt.to), "%s %s", tt.channel, tt.to)
	}
	random := rand.New(rand.NewPCG(83, 1))
	for range 10_000 {
		number := "+" + string(rune('1'+random.IntN(9)))
		for range 6 + random.IntN(9) {
			number += string(rune('0' + random.IntN(10)))
		}
		masked := otp.Mask(otp.SMS, number)
		require.NotContains(t, masked, number[1:])
		require.NotContains(t, masked, number[len(number)-4:], "the subscriber's part")
		shown := strings.ReplaceAll(masked, "*", "")
		require.LessOrEqual(t, len(shown), len(number)/2, "%s of %s", masked, number)

		local := strings.Repeat(string(rune('a'+random.IntN(26))), 1+random.IntN(20)) + string(rune('a'+random.IntN(26)))
		masked, _, _ = strings.Cut(otp.Mask(otp.Email, local+"@example.com"), "@")
		require.NotContains(t, masked, local)
		require.LessOrEqual(t, len(strings.ReplaceAll(masked, "*", "")), 1)
	}
}

// S-85: what a caller passes through ends up in logs, messages and stores.
func TestCheckText(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "user 1", "日本語", "Ünïcode", "a/b:c@d", "€ 10.00 → Bob", "👩‍👧", "שלום", strings.Repeat("x", 64)} {
		require.Empty(t, otp.CheckText(s, 64), "%q", s)
	}
	for _, s := range []string{
		strings.Repeat("x", 65), "a\nb", "a\rb", "a\x00", "\x1b[31m", "\x7f", "\u0085", "\u009b31m", "\u2028", "\u2029", "\u202ax", "\u202bx",
		"\u202cx", "\u202dx", "\u202ex", "\u2066x", "\u2067x", "\u2068x", "\u2069x", "\xff", "a\xc3", "\xed\xa0\x80",
	} {
		require.NotEmpty(t, otp.CheckText(s, 64), "%q", s)
	}
}

func TestIsLabel(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"login", "a", "9", "az09", "sign.up", "password_reset", "a-b", strings.Repeat("a", 32)} {
		require.True(t, otp.IsLabel(s), "%q", s)
	}
	for _, s := range []string{
		"", strings.Repeat("a", 33), "Login", "LOGIN", "aA", "aZ", ".a", "-a", "_a", "a b", "a/b", "a:b", "a\n", "\u00e4", "a\x00", "\u0131", "a\u200b",
	} {
		require.False(t, otp.IsLabel(s), "%q", s)
	}
}

// S-86 FM-15 FM-37: what is accepted is canonical, reads the same to net/mail, and is
// metered as one mailbox.
func FuzzRecipient(f *testing.F) {
	for _, to := range []string{
		"anna@example.com", "Anna+shop@EXAMPLE.com", "+4915112345678", `"a"@b.c`, "a@[1.2.3.4]", "a@b.c,d@e.f", "=?utf-8?q?a?=@b.co",
		"a%b@c.de", "a!b@c.de", "a@b\uff20c.de", "@anna", "", "a@b.c\r\nX: y", "a@xn--bcher-kva.de", "a'b@c.de",
	} {
		f.Add(uint8(0), to)
		f.Add(uint8(1), to)
		f.Add(uint8(2), to)
	}
	channels := []otp.Channel{otp.Email, otp.SMS, otp.Telegram}
	f.Fuzz(func(t *testing.T, which uint8, to string) {
		c := channels[int(which)%len(channels)]
		got, problem := otp.CanonicalRecipient(c, to)
		if problem != "" {
			if got != "" {
				t.Fatalf("%q is refused and %q", to, got)
			}
			return
		}
		if again, problem := otp.CanonicalRecipient(c, got); again != got || problem != "" {
			t.Fatalf("%q is not canonical: %q %s", got, again, problem)
		}
		if len(got) > 254 || strings.ContainsAny(got, " ,;<>\"\\\r\n\x00") || strings.ToValidUTF8(got, "") != got {
			t.Fatalf("%q names several, or none", got)
		}
		for _, r := range got {
			if r <= ' ' || r > '~' {
				t.Fatalf("%q is not printable ASCII", got)
			}
		}
		if key := otp.Mailbox(c, got); otp.Mailbox(c, key) != key {
			t.Fatalf("the key of the key of %q is another", got)
		}
		masked := otp.Mask(c, got)
		if len(got) > 3 && c != otp.Email && strings.Contains(masked, got) {
			t.Fatalf("%q is masked as %q", got, masked)
		}
		switch c {
		case otp.Email:
			local, _, _ := strings.Cut(got, "@")
			if shown, _, _ := strings.Cut(masked, "***@"); len(shown) > 1 || shown == local {
				t.Fatalf("%q is masked as %q", got, masked)
			}
			if strings.Count(got, "@") != 1 || !strings.EqualFold(got, to) {
				t.Fatalf("%q became %q", to, got)
			}
			for _, spelling := range []string{got, to, "<" + got + ">"} {
				a, err := mail.ParseAddress(spelling)
				if err != nil || a.Name != "" || !strings.EqualFold(a.Address, got) || spelling == got && a.Address != got {
					t.Fatalf("net/mail reads %q as %v, %v", spelling, a, err)
				}
			}
			list, err := mail.ParseAddressList(got)
			if err != nil || len(list) != 1 {
				t.Fatalf("net/mail reads %q as %v, %v", got, list, err)
			}
		default:
			if got != to {
				t.Fatalf("%q became %q", to, got)
			}
		}
	})
}
