package twilio

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

const (
	maxTwiML   = 4000 // characters, of the Twiml parameter
	maxSpoken  = 1000 // characters of a text: it is read twice, and twice must fit
	callLimit  = "120"
	maxRequest = 64 << 10
)

// A VoiceConfig is an account and how it talks. It prints without the secrets.
//
// A call that a voicemail answers must not leave a code there, where old codes are heard
// by whoever gets into the box. So the code is read only after a key was pressed, and for
// that Twilio asks the program: it can press on from one document to the next only by a
// URL. The URL holds the text encrypted, so that no process has to remember it, and is
// good for nothing when the challenge is over.
type VoiceConfig struct {
	Config
	AuthToken otp.Secret // the account's, which signs what Twilio asks; may be empty if Secret is it
	KeyURL    string     // where Twilio reaches Voice.ServeHTTP, as "https://example.com/otp/voice"
	Prompt    string     // what is said first; empty means "Press any key to hear your code."
	Language  string     // of the voice, for Prompt and code, as in TwiML; empty means "en-US"

	// InsecureNoKeyPress reads the code at once to whatever answers, and needs no KeyURL.
	InsecureNoKeyPress bool
}

// Voice sends codes by calls. It is safe for concurrent use.
type Voice struct {
	cfg    VoiceConfig
	client *provider.Client
	seal   func() cipher.AEAD // a function, since it has a key and cannot be printed
	now    func() time.Time
}

var (
	_ otp.Sender   = (*Voice)(nil)
	_ http.Handler = (*Voice)(nil)
)

// NewVoice returns a sender that calls. AccountSID, Secret and From are required, and
// KeyURL, at which the result must be served.
func NewVoice(c VoiceConfig) (*Voice, error) {
	client, err := c.client("twilio-voice", c.AuthToken)
	if err != nil {
		return nil, err
	}
	if c.AuthToken.Reveal() == "" && c.APIKey == "" {
		c.AuthToken = c.Secret
	}
	if c.Prompt == "" {
		c.Prompt = "Press any key to hear your code."
	}
	if c.Language == "" {
		c.Language = "en-US"
	}
	v := &Voice{cfg: c, client: client, now: time.Now}
	if c.InsecureNoKeyPress {
		return v, nil
	}
	if err := provider.Require("twilio-voice", "AuthToken", c.AuthToken.Reveal(), "KeyURL", c.KeyURL); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.KeyURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(c.KeyURL, "?#") {
		return nil, errors.New("otp/twilio-voice: KeyURL is not an https URL without a query")
	}
	key, err := hkdf.Key(sha256.New, []byte(c.AuthToken.Reveal()), nil, "otp twilio voice 1", 32)
	if err != nil {
		return nil, fmt.Errorf("otp/twilio-voice: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("otp/twilio-voice: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("otp/twilio-voice: %w", err)
	}
	v.seal = func() cipher.AEAD { return seal }
	return v, nil
}

// Send calls the E.164 number m.To and reads m.Content.Text, of at most 1000 characters,
// twice. [otp.DefaultRender] has set the digits apart for that. The receipt has the call's
// SID, and a call lasts two minutes at most.
func (v *Voice) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if _, err := v.client.Number(m.To); err != nil {
		return otp.Receipt{}, err
	}
	text, err := v.client.Text(m, maxSpoken)
	if err != nil {
		return otp.Receipt{}, err
	}
	document := v.read(text)
	if !v.cfg.InsecureNoKeyPress {
		// m.ExpiresAt is by the service's clock, and this one is read when a key was pressed.
		document = v.ask(v.keyURL(text, v.now().Add(m.TTL)))
	}
	twiml, err := xml.Marshal(document)
	if err != nil || len([]rune(string(twiml))) > maxTwiML {
		return otp.Receipt{}, v.client.Refused("the text does not fit into a call")
	}
	fields := url.Values{"To": {m.To}, "From": {v.cfg.From}, "Twiml": {string(twiml)}, "TimeLimit": {callLimit}}
	return v.client.Send(ctx, m, v.cfg.request("Calls", fields), &answer{})
}

// A response is a TwiML document.
type response struct {
	XMLName xml.Name `xml:"Response"`
	Gather  *gather
	Say     []say
	Hangup  *struct{}
}

// A gather waits for one key, whichever, and then fetches the action. Without a key the
// document goes on, which here means that the call is over.
type gather struct {
	Input       string `xml:"input,attr"`
	NumDigits   int    `xml:"numDigits,attr"`
	FinishOnKey string `xml:"finishOnKey,attr"` // empty, so that # and * are keys, too
	Timeout     int    `xml:"timeout,attr"`
	Action      string `xml:"action,attr"`
	Method      string `xml:"method,attr"`
	Say         say
}

type say struct {
	Language string `xml:"language,attr"`
	Loop     int    `xml:"loop,attr,omitempty"`
	Text     string `xml:",chardata"`
}

func (v *Voice) ask(action string) response {
	return response{
		Gather: &gather{
			Input: "dtmf", NumDigits: 1, Timeout: 10, Action: action, Method: http.MethodPost,
			Say: say{Language: v.cfg.Language, Loop: 2, Text: v.cfg.Prompt},
		},
		Hangup: &struct{}{},
	}
}

func (v *Voice) read(text string) response {
	s := say{Language: v.cfg.Language, Text: text}
	return response{Say: []say{s, s}}
}

// keyURL returns the URL at which text is read until expires.
func (v *Voice) keyURL(text string, expires time.Time) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(max(0, expires.Unix())))
	sealed := v.seal().Seal(nil, nil, append(plain, text...), nil)
	return v.cfg.KeyURL + "?t=" + base64.RawURLEncoding.EncodeToString(sealed)
}

// open returns the text of a URL's query.
func (v *Voice) open(query string) (string, bool) {
	token, found := strings.CutPrefix(query, "t=")
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if !found || err != nil {
		return "", false
	}
	plain, err := v.seal().Open(nil, nil, sealed, nil)
	if err != nil || len(plain) < 8 || v.now().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", false
	}
	return string(plain[8:]), true
}

// ServeHTTP reads the code to the person who has pressed a key. It answers requests that
// carry Twilio's signature for exactly this URL, with 403 all others, and hangs up when no
// key was pressed or the challenge is over. Whoever reads a log of URLs learns nothing.
func (v *Voice) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if v.seal == nil || r.Method != http.MethodPost || r.ParseForm() != nil || !v.signed(r) {
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	document := response{Hangup: &struct{}{}}
	if text, ok := v.open(r.URL.RawQuery); ok && r.PostForm.Get("Digits") != "" {
		document = v.read(text)
	}
	body, err := xml.Marshal(document)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}

// signed checks X-Twilio-Signature: the base64 of HMAC-SHA1, with the auth token, over the
// URL and every name and value of the form, sorted. The URL is the one that Twilio was
// given, whatever a proxy has made of it.
func (v *Voice) signed(r *http.Request) bool {
	mac := hmac.New(sha1.New, []byte(v.cfg.AuthToken.Reveal()))
	mac.Write([]byte(v.cfg.KeyURL + "?" + r.URL.RawQuery))
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		for _, value := range r.PostForm[name] {
			mac.Write([]byte(name + value))
		}
	}
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return subtle.ConstantTimeCompare([]byte(want), []byte(r.Header.Get("X-Twilio-Signature"))) == 1
}
