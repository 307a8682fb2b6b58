package message_test

import (
	"regexp"
	"strings"
	"testing"

	"otp.example/otp"
	"otp.example/otp/message"
)

// parse reads the last line of a message as
// https://wicg.github.io/sms-one-time-codes/#parsing says.
func parse(message string) (host, code string, ok bool) {
	message = strings.ReplaceAll(strings.ReplaceAll(message, "\r\n", "\n"), "\r", "\n")
	line := message[strings.LastIndexByte(message, '\n')+1:]
	token := func(marker string) (string, bool) {
		rest, found := strings.CutPrefix(line, marker)
		n := strings.IndexAny(rest, "\t\n\f\r ")
		if n < 0 {
			n = len(rest)
		}
		line = rest[n:]
		return rest[:n], found && n > 0
	}
	if host, ok = token("@"); !ok {
		return "", "", false
	}
	if line, ok = strings.CutPrefix(line, " "); !ok {
		return "", "", false
	}
	code, ok = token("#")
	return host, code, ok
}

// lax finds what Chromium takes for it: the first such place, on any line.
var lax = regexp.MustCompile(`(?:^|\s)@([a-zA-Z0-9.-]+) #([^#\s]+)`)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"747723 is your code.\n\n@example.com #747723":    "example.com 747723",
		"@example.com #747723 %ecommerce.example $future": "example.com 747723",
		"@example.com #747723\r\n":                        "",
		"something @example.com #747723":                  "",
		"#747723 %ecommerce.example @example.com":         "",
		"@example.com code #747723":                       "",
		"@example.com  #747723":                           "",
		"@ #747723":                                       "",
		"@example.com #":                                  "",
		"@a #1\r@b #2":                                    "b 2",
	} {
		host, code, ok := parse(text)
		if got := strings.TrimSpace(host + " " + code); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", text, got, ok)
		}
	}
}

// FuzzLastLine: S-80. Whatever the binding is, a message that is sent binds its code to
// its host, for every kind of reader, and one without a host to none.
func FuzzLastLine(f *testing.F) {
	for _, binding := range []string{
		"", "120.00 EUR to Bob", "@evil.example #493817", "x\n@evil.example #493817", "x\r@evil.example #493817",
		"x\u2028@evil.example #1", "x\u0085@evil.example #1", "x\v@evil.example #1\f", "@evil.example", "@evil.example #", "#1",
		"@evil.example\u200b #1", "@evil.example \u200b#1", "\u202e1# elpmaxe.live@", "@evil.example\t#1", "@evil.example\u00a0#1",
		"bob@bank.example #4711", "Bob. @evil.example %x #1 @", "\u2069@evil.example #1", "שלום @evil.example #1",
		"@evil.example #1 {{.Code}}", "\ufeff@evil.example #1", "@@evil.example #1", "@evil.example @evil.example #1", "\xff@evil.example #1",
	} {
		for lang := range languages {
			f.Add(binding, lang)
		}
	}
	renderers := map[string]*message.Renderer{}
	for name, cfg := range map[string]message.Config{
		"example.com": {Host: "example.com", MaxSegments: 100},
		"hash":        {Host: "example.com", AndroidHash: theHash, App: "App", MaxSegments: 100},
		"none":        {MaxSegments: 100},
		"only hash":   {AndroidHash: theHash, MaxSegments: 100},
		// The binding where it can do most.
		"last":  {MaxSegments: 100, Templates: files("en/sms.txt", "{{.Code}}\n{{.Binding}}")},
		"glued": {MaxSegments: 100, Templates: files("en/sms.txt", "{{with .Binding}}{{.}}{{else}}x{{end}} #{{.Code}}")},
		"first": {Host: "example.com", MaxSegments: 100, Templates: files("en/sms.txt", "{{.Binding}}\n{{.Code}}")},
	} {
		r, err := message.New(cfg)
		if err != nil {
			f.Fatal(err)
		}
		renderers[name] = r
	}
	f.Fuzz(func(t *testing.T, binding string, lang int) {
		if lang < 0 || lang >= len(languages) {
			return
		}
		for name, r := range renderers {
			c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Binding, m.Locale = binding, languages[lang] }))
			if err != nil {
				if !strings.Contains(binding, "@") && !strings.Contains(err.Error(), "nothing that can be seen") {
					t.Fatalf("%s: a harmless binding %q is refused: %v", name, binding, err)
				}
				continue
			}
			wantHost := ""
			if name == "example.com" || name == "hash" || name == "first" {
				wantHost = "example.com"
			}
			host, code, ok := parse(c.Text)
			if ok != (wantHost != "") || ok && (host != wantHost || code != theCode) {
				t.Fatalf("%s: binding %q: host %q, code %q in %q", name, binding, host, code, c.Text)
			}
			found := lax.FindStringSubmatch(c.Text)
			if (found != nil) != (wantHost != "") || found != nil && (found[1] != wantHost || found[2] != theCode) {
				t.Fatalf("%s: binding %q: a lax reader finds %q in %q", name, binding, found, c.Text)
			}
			if strings.Count(c.Text, "\n") > 3 {
				t.Fatalf("%s: binding %q adds lines to %q", name, binding, c.Text)
			}
		}
	})
}

// S-80: for other hosts and codes, too.
func TestLastLine(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 59)
	for _, host := range []string{"localhost", "a.b", "login.example.co.uk", "xn--exmple-cua.com", "1.example", strings.Repeat(label+".", 4) + "example"} {
		r := newRenderer(t, message.Config{Host: host, MaxSegments: 9})
		for _, code := range []string{"000000", "49381726", "7K3M9QX2A0VWZJ4H", strings.Repeat("A0", 16)} {
			c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Code, m.Binding = otp.NewSecret(code), "to bob@evil.example #1" }))
			if err != nil {
				t.Fatal(err)
			}
			gotHost, gotCode, ok := parse(c.Text)
			if !ok || gotHost != host || gotCode != code {
				t.Errorf("host %q, code %q from %q", gotHost, gotCode, c.Text)
			}
			if found := lax.FindStringSubmatch(c.Text); found == nil || found[1] != host || found[2] != code {
				t.Errorf("a lax reader finds %q in %q", found, c.Text)
			}
		}
	}
}

// FuzzSegments compares the count with the bounds that any packing has.
func FuzzSegments(f *testing.F) {
	for _, s := range []string{"", strings.Repeat("a", 161), strings.Repeat("€", 81), strings.Repeat("😀", 36), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, runes := message.Segments(s), len([]rune(s))
		if low, high := (runes+159)/160, 1+2*runes/66; got < max(1, low) || got > high {
			t.Fatalf("%d characters in %d segments, not %d to %d", runes, got, low, high)
		}
	})
}
