package twilio_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/twilio"
)

const keyURL = "https://login.example.com/otp/voice"

func voiceConfig(base string) twilio.VoiceConfig {
	c := config()
	c.BaseURL, c.APIKey, c.Secret = base, "SK0011", otp.NewSecret("key-of-the-api")
	return twilio.VoiceConfig{Config: c, AuthToken: otp.NewSecret(token), KeyURL: keyURL}
}

func TestVoice(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return twilio.NewVoice(voiceConfig(base)) },
		Message: sendertest.Message(otp.Voice),
		Secrets: []string{token, "key-of-the-api"},
		Request: "calls.request.json",
		Answers: "answers.json",
	})
}

// A document is TwiML as its documentation describes it, read by other code than wrote it.
type document struct {
	XMLName xml.Name
	Gather  []struct {
		Input       string  `xml:"input,attr"`
		NumDigits   string  `xml:"numDigits,attr"`
		FinishOnKey *string `xml:"finishOnKey,attr"`
		Action      string  `xml:"action,attr"`
		Method      string  `xml:"method,attr"`
		Say         []sayElement
	}
	Say    []sayElement
	Hangup []struct{}
	Other  []struct {
		XMLName xml.Name
	} `xml:",any"`
}

type sayElement struct {
	Language string `xml:"language,attr"`
	Text     string `xml:",chardata"`
}

func parse(t *testing.T, twiml string) document {
	t.Helper()
	var d document
	require.NoError(t, xml.Unmarshal([]byte(twiml), &d))
	require.Equal(t, "Response", d.XMLName.Local)
	require.Empty(t, d.Other)
	return d
}

// call has v call, and returns the document that Twilio was given.
func call(t *testing.T, c func(base string) twilio.VoiceConfig) (*twilio.Voice, document) {
	t.Helper()
	base, last := created(t)
	v, err := twilio.NewVoice(c(base))
	require.NoError(t, err)
	_, err = v.Send(t.Context(), sendertest.Message(otp.Voice))
	require.NoError(t, err)
	assert.Equal(t, "120", last.Get("TimeLimit"))
	return v, parse(t, last.Get("Twiml"))
}

// press asks v as Twilio does.
func press(v *twilio.Voice, action string, form url.Values, edit func(*http.Request)) *httptest.ResponseRecorder {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = fmt.Fprint(mac, action)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		_, _ = fmt.Fprint(mac, name, form.Get(name))
	}
	// A proxy has changed the scheme and the host, as they do.
	u, _ := url.Parse(action)
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080"+u.RequestURI(), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

// What answers a call is told to press a key and nothing else: a voicemail has no code.
func TestVoicemailGetsNoCode(t *testing.T) {
	v, d := call(t, voiceConfig)
	require.Len(t, d.Gather, 1)
	assert.Empty(t, d.Say)
	assert.Len(t, d.Hangup, 1)
	g := d.Gather[0]
	assert.Equal(t, "dtmf", g.Input)
	assert.Equal(t, "1", g.NumDigits)
	assert.Equal(t, "POST", g.Method)
	require.NotNil(t, g.FinishOnKey)
	assert.Empty(t, *g.FinishOnKey, "# and * are keys, too")
	require.Len(t, g.Say, 1)
	assert.Equal(t, sayElement{"en-US", "Press any key to hear your code."}, g.Say[0])
	assert.NotContains(t, g.Action, sendertest.Code)
	assert.True(t, strings.HasPrefix(g.Action, keyURL+"?t="), g.Action)

	w := press(v, g.Action, url.Values{"Digits": {"5"}, "CallSid": {"CA1"}, "From": {"+1"}}, nil)
	require.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "application/xml", w.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	d = parse(t, w.Body.String())
	assert.Equal(t, []sayElement{{"en-US", sendertest.Text}, {"en-US", sendertest.Text}}, d.Say)
	assert.Empty(t, d.Gather)

	// Another process, that has the same configuration, can read it.
	other, err := twilio.NewVoice(voiceConfig(""))
	require.NoError(t, err)
	assert.Equal(t, w.Body.String(), press(other, g.Action, url.Values{"Digits": {"#"}}, nil).Body.String())

	w = press(v, g.Action, url.Values{"CallSid": {"CA1"}}, nil)
	d = parse(t, w.Body.String())
	assert.Empty(t, d.Say, "no key was pressed")
	assert.Len(t, d.Hangup, 1)
}

func TestKeyPressIsTwilios(t *testing.T) {
	v, d := call(t, voiceConfig)
	action := d.Gather[0].Action
	form := url.Values{"Digits": {"5"}}
	forged := func(r *http.Request) {
		r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(make([]byte, 20)))
	}
	tests := []struct {
		name   string
		action string
		edit   func(*http.Request)
	}{
		{"no signature", action, func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }},
		{"another's signature", action, forged},
		{"GET", action, func(r *http.Request) { r.Method = http.MethodGet }},
		{"another form", action, func(r *http.Request) {
			other := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("Digits=6"))
			r.Body = other.Body
		}},
		{"signed for another URL", action, func(r *http.Request) { r.URL.RawQuery += "A" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := press(v, tt.action, form, tt.edit)
			assert.Equal(t, http.StatusForbidden, w.Code)
			assert.NotContains(t, w.Body.String(), sendertest.Code)
		})
	}
	huge := url.Values{"Digits": {strings.Repeat("5", 1<<20)}}
	assert.Equal(t, http.StatusForbidden, press(v, action, huge, nil).Code, "although it is signed")
	for name, bad := range map[string]string{
		"altered":  action[:len(action)-4] + "AAAA",
		"cut":      action[:len(action)-20],
		"empty":    keyURL + "?t=",
		"no query": keyURL + "?",
		"no text":  keyURL + "?t=!!!!",
	} {
		t.Run(name, func(t *testing.T) {
			w := press(v, bad, form, nil)
			d := parse(t, w.Body.String())
			assert.Empty(t, d.Say)
			assert.Len(t, d.Hangup, 1)
		})
	}
}

// S-77: the sealed text is good for nothing when the challenge is over.
func TestKeyURLExpires(t *testing.T) {
	ttl, before := sendertest.Message(otp.Voice).TTL, time.Now()
	v, d := call(t, voiceConfig)
	after := time.Now()
	action, form := d.Gather[0].Action, url.Values{"Digits": {"5"}}
	twilio.SetNow(v, before.Add(ttl-time.Second))
	assert.NotEmpty(t, parse(t, press(v, action, form, nil).Body.String()).Say)
	twilio.SetNow(v, after.Add(ttl)) // by the clock of this process, whatever the service's says
	assert.Empty(t, parse(t, press(v, action, form, nil).Body.String()).Say)
}

func TestVoiceLanguage(t *testing.T) {
	v, d := call(t, func(base string) twilio.VoiceConfig {
		c := voiceConfig(base)
		c.Language, c.Prompt = "de-DE", "Drücken Sie <eine> Taste."
		return c
	})
	assert.Equal(t, []sayElement{{"de-DE", "Drücken Sie <eine> Taste."}}, d.Gather[0].Say)
	w := press(v, d.Gather[0].Action, url.Values{"Digits": {"5"}}, nil)
	assert.Equal(t, "de-DE", parse(t, w.Body.String()).Say[0].Language)
}

func TestInsecureNoKeyPress(t *testing.T) {
	v, d := call(t, func(base string) twilio.VoiceConfig {
		c := voiceConfig(base)
		c.InsecureNoKeyPress, c.KeyURL = true, ""
		return c
	})
	assert.Empty(t, d.Gather)
	assert.Equal(t, []sayElement{{"en-US", sendertest.Text}, {"en-US", sendertest.Text}}, d.Say)
	assert.Equal(t, http.StatusForbidden, press(v, keyURL+"?t=x", url.Values{"Digits": {"5"}}, nil).Code)
}

func TestVoiceConfig(t *testing.T) {
	tests := []struct {
		name, want string
		edit       func(*twilio.VoiceConfig)
	}{
		{"no KeyURL", "KeyURL", func(c *twilio.VoiceConfig) { c.KeyURL = "" }},
		{"http", "KeyURL", func(c *twilio.VoiceConfig) { c.KeyURL = "http://login.example.com/otp/voice" }},
		{"query", "KeyURL", func(c *twilio.VoiceConfig) { c.KeyURL += "?x=1" }},
		{"no token", "AuthToken", func(c *twilio.VoiceConfig) { c.AuthToken = otp.Secret{} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := voiceConfig("")
			tt.edit(&c)
			_, err := twilio.NewVoice(c)
			require.ErrorContains(t, err, tt.want)
		})
	}
	c := voiceConfig("")
	c.APIKey, c.AuthToken = "", otp.Secret{}
	_, err := twilio.NewVoice(c)
	require.NoError(t, err, "the secret is the auth token")
}

func TestVoiceTextThatDoesNotFit(t *testing.T) {
	v, err := twilio.NewVoice(voiceConfig(""))
	require.NoError(t, err)
	m := sendertest.Message(otp.Voice)
	m.Content.Text = strings.Repeat("字", 1000)
	_, err = v.Send(t.Context(), m)
	require.ErrorIs(t, err, otp.ErrNotAccepted)
}

func TestConfigsPrintWithoutSecrets(t *testing.T) {
	c := voiceConfig("")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, c), token)
		assert.NotContains(t, fmt.Sprintf(verb, &c), "key-of-the-api")
	}
}

// FuzzKeyPress asks without a signature.
func FuzzKeyPress(f *testing.F) {
	v, err := twilio.NewVoice(voiceConfig(""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("t=AAAA", "Digits=5", "")
	f.Add("", "Digits=5&Digits=6&%zz", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, query, form, signature string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Twilio-Signature", signature)
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("a guess was taken for a signature: %d", w.Code)
		}
	})
}
