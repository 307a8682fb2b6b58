package message_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/message"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	theCode = "493817"
	theHash = "FA+9qCX9VSu"
)

var languages = []string{"en", "de", "fr", "es", "pt", "ar", "hi", "zh"}

func newRenderer(t *testing.T, cfg message.Config) *message.Renderer {
	t.Helper()
	r, err := message.New(cfg)
	require.NoError(t, err)
	return r
}

func sms(edit ...func(*otp.Message)) otp.Message {
	m := otp.Message{Channel: otp.SMS, Usage: "login", Code: otp.NewSecret(theCode), TTL: 5 * time.Minute}
	for _, f := range edit {
		f(&m)
	}
	return m
}

// files makes a file system of names and texts in turn.
func files(namesAndTexts ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(namesAndTexts); i += 2 {
		fsys[namesAndTexts[i]] = &fstest.MapFile{Data: []byte(namesAndTexts[i+1])}
	}
	return fsys
}

// Every default message in every language, as people get it. Run with -update after a
// change, and let somebody who reads the language read it.
func TestGolden(t *testing.T) {
	t.Parallel()
	usages := []otp.Usage{"login", "signup", "password_reset", otp.Recovery, otp.Payment, otp.ConfirmAddress, "something_else"}
	full := newRenderer(t, message.Config{App: "Example", Host: "example.com"})
	bare := newRenderer(t, message.Config{})
	android := newRenderer(t, message.Config{AndroidHash: theHash})
	for _, lang := range languages {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			write := func(name string, r *message.Renderer, m otp.Message) {
				c, err := r.Render(t.Context(), m)
				require.NoError(t, err)
				fmt.Fprintf(&got, "=== %s", name)
				if m.Channel == otp.SMS {
					fmt.Fprintf(&got, ", %d segments", message.Segments(c.Text))
				}
				if c.Subject != "" {
					fmt.Fprintf(&got, "\nSubject: %s\n", c.Subject)
				}
				fmt.Fprintf(&got, "\n%s\n\n", c.Text)
				if m.Binding != "" && c.HTML != "" {
					golden(t, lang+".html", c.HTML)
				}
			}
			for _, channel := range []otp.Channel{otp.SMS, otp.Email, otp.Voice} {
				for _, usage := range usages {
					m := otp.Message{Channel: channel, Usage: usage, Locale: lang, Code: otp.NewSecret(theCode), TTL: 5 * time.Minute}
					name := string(channel) + ", " + string(usage)
					if channel == otp.SMS || usage == "something_else" {
						write(name+", no name and host", bare, m)
					}
					if usage == otp.Payment {
						m.Binding = "120.00 EUR to Bob's <Café>"
					}
					write(name, full, m)
				}
			}
			write("sms, app hash", android, sms(func(m *otp.Message) { m.Locale = lang }))
			golden(t, lang+".txt", got.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"), "run the test with -update if this is meant")
}

// Operators charge by the segment: what is common fits into one where the alphabet
// allows, and into two elsewhere.
func TestDefaultsAreShort(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Host: "login.example.com"})
	want := map[string]int{"en": 1, "de": 1, "fr": 1, "es": 2, "pt": 2, "ar": 2, "hi": 2, "zh": 1}
	for _, lang := range languages {
		for _, usage := range []otp.Usage{"login", "signup", "password_reset", otp.Recovery, otp.Payment, otp.ConfirmAddress, "x"} {
			c, err := r.Render(t.Context(), sms(func(m *otp.Message) {
				m.Locale, m.Usage, m.TTL = lang, usage, 10*time.Minute
				m.Code = otp.NewSecret("7K3M9QX2A0")
			}))
			require.NoError(t, err)
			assert.LessOrEqual(t, message.Segments(c.Text), want[lang], "%s %s", lang, usage)
		}
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Templates: files(
		"en/t.txt", "{{.Code}} {{.Lifetime}}", "fr/t.txt", "{{.Code}} {{.Lifetime}}", "ar/t.txt", "{{.Code}} {{.Lifetime}}",
		"hi/t.txt", "{{.Code}} {{.Lifetime}}", "zh/t.txt", "{{.Code}} {{.Lifetime}}", "it/t.txt", "{{.Code}} {{.Lifetime}}",
		"fr-CA/t.txt", "{{.Code}} {{.Lifetime}}", "de/t.txt", "{{.Code}} {{.TTL.Minutes}}",
	)})
	for _, tt := range []struct {
		lang string
		ttl  time.Duration
		want string
	}{
		{"en", time.Second, "1 second"},
		{"en", 59*time.Second + 999*time.Millisecond, "59 seconds"},
		{"en", time.Minute, "1 minute"},
		{"en", 5*time.Minute - time.Nanosecond, "4 minutes"},
		{"en", 2*time.Hour - time.Nanosecond, "119 minutes"},
		{"en", 2 * time.Hour, "2 hours"},
		{"en", 24 * time.Hour, "24 hours"},
		{"fr", time.Minute, "1 minute"},
		{"fr", 10 * time.Minute, "10 minutes"},
		{"fr-CA", 3 * time.Hour, "3 heures"},
		{"ar", time.Second, "ثانية واحدة"},
		{"ar", 30 * time.Second, "30 ثانية"},
		{"ar", time.Minute, "دقيقة واحدة"},
		{"ar", 2 * time.Minute, "دقيقتين"},
		{"ar", 3 * time.Minute, "3 دقائق"},
		{"ar", 10 * time.Minute, "10 دقائق"},
		{"ar", 11 * time.Minute, "11 دقيقة"},
		{"ar", 100 * time.Minute, "100 دقيقة"},
		{"ar", 102 * time.Minute, "102 دقيقة"},
		{"ar", 103 * time.Minute, "103 دقائق"},
		{"ar", 111 * time.Minute, "111 دقيقة"},
		{"ar", 2 * time.Hour, "ساعتين"},
		{"ar", 24 * time.Hour, "24 ساعة"},
		{"hi", time.Minute, "1 मिनट"},
		{"hi", 24 * time.Hour, "24 घंटे"},
		{"zh", 10 * time.Minute, "10分钟"},
		{"it", 10 * time.Minute, "10 min"},
		{"it", 30 * time.Second, "30 s"},
		{"it", 24 * time.Hour, "24 h"},
		{"de", 90 * time.Second, "1.5"},
	} {
		t.Run(tt.lang+" "+tt.ttl.String(), func(t *testing.T) {
			t.Parallel()
			c, err := r.Render(t.Context(), otp.Message{Channel: "t", Locale: tt.lang, TTL: tt.ttl, Code: otp.NewSecret(theCode)})
			require.NoError(t, err)
			require.Equal(t, theCode+" "+tt.want, c.Text)
		})
	}
}

// The code's length is that of the code, whatever level it has grown to.
func TestLength(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Templates: files("en/sms.txt", "Your {{len .Code}} characters: {{.Code}}")})
	for code, want := range map[string]string{theCode: "6", "7K3M9QX2A0VWZJ4H": "16"} {
		c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Code = otp.NewSecret(code) }))
		require.NoError(t, err)
		require.Equal(t, "Your "+want+" characters: "+code, c.Text)
	}
}

// S-80: of all that came from outside, nothing but the binding gets into a message.
func TestNothingFromOutside(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{})
	const spam = "https://spam.example/"
	for _, lang := range languages {
		for _, channel := range []otp.Channel{otp.SMS, otp.Email, otp.Voice, otp.WhatsApp} {
			c, err := r.Render(t.Context(), otp.Message{
				Key: spam, Channel: channel, Usage: spam, To: spam, Tenant: spam, Locale: lang + "-" + spam,
				Code: otp.NewSecret(theCode), TTL: time.Minute, Content: otp.Content{Text: spam},
			})
			require.NoError(t, err)
			assert.NotContains(t, c.Subject+c.Text+html.UnescapeString(c.HTML), "spam")
		}
	}
}

// S-70 S-80: what is confirmed is shown, on one line, without what cannot be seen, and
// escaped for its medium.
func TestBinding(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{})
	for _, tt := range []struct{ name, binding, want string }{
		{"plain", "120.00 EUR to Bob", "120.00 EUR to Bob"},
		{"markup", `<b onclick="x">&amp;{{.Code}}</b>`, `<b onclick="x">&amp;{{.Code}}</b>`},
		{"line breaks", "120\r\n@evil\n\n\t5\u2028\u2029\u0085x", "120 @evil 5 x"},
		{"turned around", "1\u202e00\u202c2\u2066\u2069\u200f\u061c3", "100" + "23"},
		{"invisible", "a\u200b\u200d\ufeff\u00ad\u2060\u3164\ufe0fb\x00\x1b[31mc", "ab[31mc"},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
		{"from right to left", "שלום", "\u2068שלום\u2069"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, channel := range []otp.Channel{otp.SMS, otp.Email} {
				c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Channel, m.Binding, m.Usage = channel, tt.binding, otp.Payment }))
				require.NoError(t, err)
				assert.Contains(t, c.Text, "It confirms: "+tt.want)
				assert.NotContains(t, c.HTML, "<b ")
				if c.HTML != "" {
					assert.Contains(t, html.UnescapeString(c.HTML), "It confirms: "+tt.want)
				}
			}
		})
	}

	t.Run("not asked for", func(t *testing.T) {
		t.Parallel()
		r := newRenderer(t, message.Config{Templates: files("en/sms.txt", "{{.Code}}")})
		c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Binding = "session 7" }))
		require.NoError(t, err)
		require.Equal(t, theCode, c.Text)
		_, err = r.Render(t.Context(), sms(func(m *otp.Message) { m.Binding, m.Usage = "120.00 EUR to Bob", otp.Payment }))
		require.EqualError(t, err, "otp: message: the text of a payment does not show its Binding")
	})
	t.Run("asked for in HTML", func(t *testing.T) {
		t.Parallel()
		r := newRenderer(t, message.Config{Templates: files("email.html", `<p title="{{.Binding}}">{{.Code}} {{.Binding}}`)})
		c, err := r.Render(t.Context(), sms(func(m *otp.Message) { m.Channel, m.Binding = otp.Email, `"><script>alert(1)</script>` }))
		require.NoError(t, err)
		require.NotContains(t, c.HTML, "<script")
		require.NotContains(t, c.HTML, `""`)
	})
}

// What a voice reads has the code spaced and twice, and no marks for the eye.
func TestVoice(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{App: "Example"})
	for _, lang := range languages {
		c, err := r.Render(t.Context(), sms(func(m *otp.Message) {
			m.Channel, m.Locale, m.Code, m.Binding = otp.Voice, lang, otp.NewSecret("7K3M9"), "שלום"
		}))
		require.NoError(t, err)
		assert.Equal(t, 2, strings.Count(c.Text, "7, K, 3, M, 9"), lang)
		assert.NotContains(t, c.Text, "\u2068")
		assert.Contains(t, c.Text, "שלום")
		assert.Empty(t, c.Subject+c.HTML)
	}
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Locale: "fr", Templates: files(
		"en/sms.txt", "en sms {{.Code}}",
		"en/sms/payment.txt", "en sms payment {{.Code}} {{.Binding}}",
		"tenants/acme/en/sms.txt", "acme en sms {{.Code}} {{.Binding}}",
		"tenants/acme/en/message.txt", "acme en message {{.Code}}",
		"pt_BR/sms.txt", "pt-br {{.Code}}",
		"zh-Hant/sms.txt", "zh-hant {{.Code}}",
		"zh/sms.txt", "zh {{.Code}}",
		"fr/push.txt", "Subject: fr push\n\n{{.Code}}",
		"fr/push/signup.txt", "fr push signup {{.Code}}",
		"README.md", "ignored",
	)})
	for _, tt := range []struct {
		tenant  string
		channel otp.Channel
		usage   otp.Usage
		locale  string
		want    string // the beginning
	}{
		{"", otp.SMS, "login", "en", "en sms 4"},
		{"", otp.SMS, "login", "en-US", "en sms 4"},
		{"", otp.SMS, "login", "EN_us", "en sms 4"},
		{"", otp.SMS, otp.Payment, "en", "en sms payment"},
		{"acme", otp.SMS, "login", "en", "acme en sms"},
		{"acme", otp.SMS, otp.Payment, "en", "acme en sms"}, // its own before the common ones
		{"other", otp.SMS, "login", "en", "en sms 4"},
		{"acme/en", otp.SMS, "login", "en", "en sms 4"},
		{"acme", otp.WhatsApp, "login", "en", "acme en message"},
		{"acme", otp.Voice, "login", "en", "Here is your code"}, // a channel's before message.txt
		{"acme", otp.SMS, "login", "de", "493817 ist Ihr Code"}, // the language before the tenant
		{"", otp.SMS, "login", "pt-BR", "pt-br"},
		{"", otp.SMS, "login", "pt-PT", "493817 é seu código"},
		{"", otp.SMS, "login", "zh-Hant-TW", "zh-hant"},
		{"", otp.SMS, "login", "zh-TW", "zh 4"},
		{"", otp.SMS, "login", "zh-x-hant", "zh 4"},
		{"", otp.SMS, "login", "den", "493817 est votre code"},
		{"", otp.SMS, "login", "", "493817 est votre code"},
		{"", otp.SMS, "login", "../../etc", "493817 est votre code"},
		{"", otp.SMS, "login", strings.Repeat("x-", 1000), "493817 est votre code"},
		{"", "push", "login", "", theCode},
		{"", "push", "signup", "", "fr push signup"},
		{"", "push", "login", "en", "493817 is your code"}, // message.txt of the language before a channel's of another
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			t.Parallel()
			c, err := r.Render(t.Context(), sms(func(m *otp.Message) {
				m.Tenant, m.Channel, m.Usage, m.Locale = tt.tenant, tt.channel, tt.usage, tt.locale
			}))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(c.Text, tt.want), c.Text)
			if tt.channel == "push" && tt.want == theCode {
				require.Equal(t, "fr push", c.Subject)
			}
		})
	}
}

func TestLookUpHTML(t *testing.T) {
	t.Parallel()
	const email = "Subject: x\n\n{{.Code}}"
	r := newRenderer(t, message.Config{Templates: files(
		"email.html", "common {{.Lang}} {{.Dir}} {{.Code}}",
		"de/email.html", "de {{.Code}}",
		"de/email/payment.html", "de payment {{.Code}} {{.Binding}}",
		"tenants/acme/email.html", "acme {{.Lang}} {{.Code}}",
		"he/email.txt", email, "az-Arab/email.txt", email, "az/email.txt", email, "ur-Latn/email.txt", email,
	)})
	for _, tt := range []struct {
		tenant string
		usage  otp.Usage
		locale string
		want   string
	}{
		{"", "login", "en", "common en ltr 4"},
		{"", "login", "ar-EG", "common ar rtl 4"},
		{"", "login", "he", "common he rtl 4"},
		{"", "login", "az-Arab", "common az-arab rtl 4"},
		{"", "login", "az", "common az ltr 4"},
		{"", "login", "ur-Latn", "common ur-latn ltr 4"},
		{"", "login", "de-AT", "de 4"},
		{"", otp.Payment, "de", "de payment"},
		{"acme", "login", "de", "acme de"},
		{"acme", "login", "unknown", "acme en"},
	} {
		c, err := r.Render(t.Context(), sms(func(m *otp.Message) {
			m.Tenant, m.Channel, m.Usage, m.Locale = tt.tenant, otp.Email, tt.usage, tt.locale
		}))
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(c.HTML, tt.want), "%v: %s", tt, c.HTML)
	}
}

// What is wrong with a template is found when the program starts.
func TestNewRefusesTemplates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, text, want string }{
		{"syntax", "en/sms.txt", "{{.Code", "en/sms.txt"},
		{"syntax in a subject", "en/email.txt", "Subject: {{\n\n{{.Code}}", "en/email.txt"},
		{"syntax in HTML", "email.html", "{{.Code", "email.html"},
		{"unescapable HTML", "email.html", "{{.Code}} <script>{{if .App}}`{{end}}</script>", "email.html"},
		{"unknown field", "en/sms.txt", "{{.Code}} {{.Name}}", "en/sms.txt"},
		{"unknown field in HTML", "email.html", "{{.Code}} {{.Name}}", "email.html"},
		{"unknown field for bound codes", "en/sms.txt", "{{.Code}} {{if .Binding}}{{.Name}}{{end}}", "en/sms.txt"},
		{"no code", "en/sms.txt", "Hello!", "en/sms.txt"},
		{"no code in HTML", "tenants/acme/email.html", "Hello!", "tenants/acme/email.html"},
		{"code for a voice in a text", "en/sms.txt", "{{.Spoken}}", "en/sms.txt"},
		{"code for the eye in a voice", "en/voice.txt", "{{.Code}}", "en/voice.txt"},
		{"code grown", "en/sms.txt", "{{.Code}}0", "en/sms.txt"},
		{"code in another number", "en/sms.txt", "٣{{.Code}}", "en/sms.txt"},
		{"split code", "en/sms.txt", "{{slice .Code 0 3}} {{slice .Code 3}}", "en/sms.txt"},
		{"split in HTML", "email.html", "<b>{{slice .Code 0 3}}</b>{{slice .Code 3}}", "email.html"},
		{"no subject", "de/email.txt", "{{.Code}}", "de/email.txt"},
		{"too long", "en/sms.txt", "{{.Code}} " + strings.Repeat("long ", 130), "en/sms.txt"},
		{"payment without its data", "en/sms/payment.txt", "{{.Code}}", "en/sms/payment.txt"},
		{"last line of another host", "en/sms.txt", "{{.Code}}\n@evil.example #{{.Code}}", "en/sms.txt"},
		{"other place", "sms.txt", "{{.Code}}", "sms.txt"},
		{"other place, deeper", "en/sms/payment/x.txt", "{{.Code}}", "en/sms/payment/x.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := message.New(message.Config{Templates: files(tt.file, tt.text)})
			require.ErrorContains(t, err, tt.want)
			require.Truef(t, strings.HasPrefix(err.Error(), "otp: message: "), "%v", err)
			require.NotContains(t, err.Error(), theCode)
			require.Nil(t, r)
		})
	}
}

func TestNewRefusesConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field string
		cfg   message.Config
	}{
		{"App", message.Config{App: "a\nb"}},
		{"App", message.Config{App: " a"}},
		{"App", message.Config{App: "\u202ea"}},
		{"App", message.Config{App: strings.Repeat("a", 65)}},
		{"Host", message.Config{Host: "https://example.com"}},
		{"Host", message.Config{Host: "example.com:443"}},
		{"Host", message.Config{Host: "example.com #1"}},
		{"Host", message.Config{Host: "exämple.com"}},
		{"Host", message.Config{Host: "example.com."}},
		{"Host", message.Config{Host: "-example.com"}},
		{"Host", message.Config{Host: "192.0.2.1"}},
		{"Host", message.Config{Host: strings.Repeat("a", 64) + ".com"}},
		{"Host", message.Config{Host: strings.Repeat("a.", 126) + "com"}},
		{"AndroidHash", message.Config{AndroidHash: "FA+9qCX9VS"}},
		{"AndroidHash", message.Config{AndroidHash: "FA+9qCX9VS "}},
		{"MaxSegments", message.Config{MaxSegments: -1}},
		{"Locale", message.Config{Locale: "it"}},
		{"Locale", message.Config{Locale: "-"}},
		{"es/message.txt", message.Config{MaxSegments: 1, Host: "example.com", Templates: files(
			"pt/message.txt", "{{.Code}}", "ar/message.txt", "{{.Code}}", "hi/message.txt", "{{.Code}}")}},
	} {
		r, err := message.New(tt.cfg)
		require.ErrorContains(t, err, tt.field)
		require.Nil(t, r)
	}
	for _, cfg := range []message.Config{
		{Host: "Example.COM"},
		{Host: "localhost"},
		{Host: "xn--exmple-cua.com"},
		{Host: "app.xn--p1ai"},
		{Host: "a.b1"},
		{App: "شركة المثال"},
		{Locale: "pt_PT"},
		{Locale: "it", Templates: files("it/sms.txt", "{{.Code}}")},
	} {
		_, err := message.New(cfg)
		require.NoError(t, err, cfg)
	}
}

type brokenFS struct{ fstest.MapFS }

func (brokenFS) ReadFile(string) ([]byte, error) { return nil, errors.New("disk") }

func TestNewReportsReadErrors(t *testing.T) {
	t.Parallel()
	_, err := message.New(message.Config{Templates: brokenFS{files("en/sms.txt", "{{.Code}}")}})
	require.ErrorContains(t, err, "disk")
	_, err = message.New(message.Config{Templates: os.DirFS("testdata/missing")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A message that would be wrong is not written, and the error does not tell it.
func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Host: "example.com", Templates: files("en/sms/odd.txt", `{{.Code}}{{if gt (len .Code) 6}}9{{end}}`)})
	for _, tt := range []struct {
		name string
		edit func(*otp.Message)
		want string
	}{
		{"no code", func(m *otp.Message) { m.Code = otp.Secret{} }, "Code"},
		{"code with a space", func(m *otp.Message) { m.Code = otp.NewSecret("493 817") }, "Code"},
		{"code with a line", func(m *otp.Message) { m.Code = otp.NewSecret("1\n@evil.example #1") }, "Code"},
		{"other digits", func(m *otp.Message) { m.Code = otp.NewSecret("٤٩٣٨١٧") }, "Code"},
		{"no time", func(m *otp.Message) { m.TTL = 0 }, "TTL"},
		{"too little time", func(m *otp.Message) { m.TTL = time.Second - 1 }, "TTL"},
		{"long code", func(m *otp.Message) { m.Usage, m.Code = "odd", otp.NewSecret("49381726") }, "one piece"},
		{"invisible", func(m *otp.Message) { m.Binding = "\u200b\u2060" }, "Binding"},
		{"too long", func(m *otp.Message) { m.Binding = strings.Repeat("x", 600) }, "segments"},
		{"last line", func(m *otp.Message) { m.Binding = "@evil.example #493817" }, "last line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := r.Render(t.Context(), sms(tt.edit))
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "4938")
			require.NotContains(t, err.Error(), "evil")
			require.Empty(t, c.Subject+c.Text+c.HTML)
		})
	}
}

// S-80: an app's hash goes into messages of at most 140 bytes only.
func TestAndroidHash(t *testing.T) {
	t.Parallel()
	render := func(cfg message.Config, edit func(*otp.Message)) string {
		cfg.AndroidHash = theHash
		c, err := newRenderer(t, cfg).Render(t.Context(), sms(edit))
		require.NoError(t, err)
		if strings.Contains(c.Text, theHash) {
			assert.True(t, strings.HasSuffix(c.Text, theHash))
			assert.LessOrEqual(t, len(c.Text), 140)
			assert.Equal(t, 1, message.Segments(c.Text))
		}
		return c.Text
	}
	for _, lang := range languages {
		text := render(message.Config{App: "Example Company"}, func(m *otp.Message) { m.Locale = lang })
		assert.Contains(t, text, theHash, "%s: there is no room for the hash", lang)
	}
	with := func(binding string) string {
		return render(message.Config{App: "Example", Host: "example.com"}, func(m *otp.Message) { m.Binding = binding })
	}
	require.Equal(t, "Example: 493817 is your code for logging in. It is valid for 5 minutes. Do not share it.\n\n@example.com #493817 "+theHash, with(""))
	// It confirms: … . is 15 bytes more.
	require.Equal(t, "Example: 493817 is your code. It confirms: 12 EUR. It is valid for 5 minutes. Do not share it.\n\n@example.com #493817 "+theHash, with("12 EUR"))
	require.Equal(t, "493817 is your code. It confirms: 12 EUR to Bob Example. It is valid for 5 minutes. Do not share it.\n\n@example.com #493817 "+theHash, with("12 EUR to Bob Example"))
	require.NotContains(t, with(strings.Repeat("x", 60)), theHash)
	require.Contains(t, with(strings.Repeat("x", 60)), "Example: 493817 is your code for logging in.", "without the hash nothing is left out")
}

func TestSegments(t *testing.T) {
	t.Parallel()
	const all = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	require.Equal(t, 127, utf8.RuneCountInString(all), "the escape is the 128th")
	for _, tt := range []struct {
		name, text string
		want       int
	}{
		{"empty", "", 1},
		{"whole basic alphabet", all, 1},
		{"160 letters", strings.Repeat("a", 160), 1},
		{"161 letters", strings.Repeat("a", 161), 2},
		{"two full", strings.Repeat("a", 306), 2},
		{"three", strings.Repeat("a", 307), 3},
		{"euro counts twice", strings.Repeat("a", 158) + "€", 1},
		{"euro does not fit", strings.Repeat("a", 159) + "€", 2},
		{"all of the extension", strings.Repeat(`^{}\[~]|€`, 8) + "\f" + strings.Repeat("a", 14), 1},
		{"euro is not split", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3},
		{"70 others", strings.Repeat("я", 70), 1},
		{"71 others", strings.Repeat("я", 71), 2},
		{"one other spoils all", strings.Repeat("a", 70) + "ç", 2},
		{"euro counts once there", strings.Repeat("€", 69) + "ç", 1},
		{"two full of others", strings.Repeat("я", 134), 2},
		{"three of others", strings.Repeat("я", 135), 3},
		{"pairs count twice", strings.Repeat("😀", 35), 1},
		{"36 pairs", strings.Repeat("😀", 36), 2},
		{"a pair is not split", strings.Repeat("😀", 67), 3},
		{"not UTF-8", "\xff", 1},
	} {
		assert.Equal(t, tt.want, message.Segments(tt.text), tt.name)
	}
}

func TestConcurrentRender(t *testing.T) {
	t.Parallel()
	r := newRenderer(t, message.Config{Host: "example.com", AndroidHash: theHash})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				code := fmt.Sprintf("%06d", 1000*i+j)
				c, err := r.Render(t.Context(), sms(func(m *otp.Message) {
					m.Channel, m.Locale, m.Code = []otp.Channel{otp.SMS, otp.Email}[j%2], languages[i], otp.NewSecret(code)
				}))
				if assert.NoError(t, err) {
					assert.Contains(t, c.Text, code)
				}
			}
		})
	}
	all.Wait()
}

// S-80: a message that cannot be written is not sent, and its limits are given back.
func TestServiceUsesIt(t *testing.T) {
	t.Parallel()
	kr, err := otp.NewKeyring(otp.Key{ID: "k", Secret: []byte("8d2f0c7be19a4563f7b2a90c5e61d384")})
	require.NoError(t, err)
	var got []otp.Message
	svc, err := otp.New(otp.Config{
		Store: memstore.New(), Keyring: kr,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			got = append(got, m)
			return otp.Receipt{}, nil
		})},
		Render: newRenderer(t, message.Config{App: "Example", Host: "example.com"}).Render,
	})
	require.NoError(t, err)
	request := otp.Request{Channel: otp.SMS, Usage: otp.Payment, Subject: "u", To: "+4930123456", Locale: "de-AT", Binding: "@evil.example #1"}
	_, err = svc.Request(t.Context(), request)
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	require.Empty(t, got)

	request.Binding = "120 EUR an Bob"
	_, err = svc.Request(t.Context(), request) // at once: the interval between sends was given back
	require.NoError(t, err)
	code := got[0].Code.Reveal()
	require.Equal(t, "Example: "+code+" ist Ihr Code für eine Zahlung. Er bestätigt: 120 EUR an Bob. Er gilt 5 Minuten. Geben Sie ihn nicht weiter.\n\n@example.com #"+code, got[0].Content.Text)
}
