package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender"
	"otp.example/otp/sender/aws"
	"otp.example/otp/sender/internal/sendertest"
)

const (
	keyID   = "AKIAIOSFODNN7EXAMPLE" // of AWS's own documentation
	key     = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	session = "session-token-of-the-role"
)

// config is the SDK's, for a server of the test.
func config(endpoint string) sdk.Config {
	return sdk.Config{
		Region:       "eu-central-1",
		BaseEndpoint: &endpoint,
		Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: keyID, SecretAccessKey: key, SessionToken: session}, nil
		}),
		// What must not count: it would try again, log the code and go through a proxy.
		RetryMaxAttempts: 5,
		ClientLogMode:    sdk.LogRequestWithBody | sdk.LogResponseWithBody | sdk.LogSigning,
		HTTPClient:       nobody{},
	}
}

type nobody struct{}

func (nobody) Do(*http.Request) (*http.Response, error) { return nil, errors.New("not this one") }

func newSMS(endpoint string) (otp.Sender, error) { return newSMSWith(config(endpoint)) }

func newSMSWith(cfg sdk.Config) (otp.Sender, error) {
	return aws.NewSMS(aws.SMSConfig{
		AWS: cfg, From: "pool-0123456789abcdef", ConfigurationSet: "codes", MaxPrice: "0.05",
		CountryParameters: map[string]string{"IN_ENTITY_ID": "1", "IN_TEMPLATE_ID": "2"},
	})
}

func newVoice(endpoint string) (otp.Sender, error) { return newVoiceWith(config(endpoint)) }

func newVoiceWith(cfg sdk.Config) (otp.Sender, error) {
	return aws.NewVoice(aws.VoiceConfig{AWS: cfg, From: "+12025550100", ConfigurationSet: "codes", MaxPrice: "0.10", Voice: "JOANNA"})
}

func newSNS(endpoint string) (otp.Sender, error) {
	return aws.NewSNS(aws.SNSConfig{AWS: config(endpoint), SenderID: "EXAMPLE", Number: "+12025550100", MaxPrice: "0.05"})
}

func newSES(endpoint string) (otp.Sender, error) {
	return aws.NewSES(aws.SESConfig{AWS: config(endpoint), From: "Example <login@example.com>", ConfigurationSet: "codes"})
}

var secrets = []string{keyID, key, session}

func mail() otp.Message {
	m := sendertest.Message(otp.Email)
	m.To = "ann@example.org"
	return m
}

func TestSMS(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New: func(url string) (otp.Sender, error) { return newSMSWith(config(url)) }, Message: sendertest.Message(otp.SMS), Secrets: secrets, Request: "sms_request.json", Answers: "messaging_answers.json",
	})
}

func TestVoice(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New: func(url string) (otp.Sender, error) { return newVoiceWith(config(url)) }, Message: sendertest.Message(otp.Voice), Secrets: secrets, Request: "voice_request.json", Answers: "messaging_answers.json",
	})
}

func TestSES(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New: newSES, Message: mail(), Secrets: secrets, Request: "ses_request.json", Answers: "ses_answers.json",
	})
}

// send sends m to a server that runs h.
func send(t *testing.T, build func(string) (otp.Sender, error), m otp.Message, h http.HandlerFunc) (otp.Receipt, error) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	s, err := build(srv.URL)
	require.NoError(t, err)
	return s.Send(t.Context(), m)
}

const published = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m-0002</MessageId></PublishResult></PublishResponse>`

// The fields of the query protocol, each once and no others.
func TestSNSRequest(t *testing.T) {
	var want struct {
		Provenance, Path string
		Headers, Fields  map[string]string
		Attributes       map[string][2]string
	}
	b, err := os.ReadFile("testdata/sns_request.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &want))
	require.NotEmpty(t, want.Provenance)
	receipt, err := send(t, newSNS, sendertest.Message(otp.SMS), func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, want.Path, r.URL.RequestURI())
		assert.Equal(t, http.MethodPost, r.Method)
		for name, value := range want.Headers {
			assert.Equal(t, value, r.Header.Get(name))
		}
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		got, err := url.ParseQuery(string(body))
		assert.NoError(t, err)
		attributes := map[string][2]string{}
		for i := 1; got.Has(fmt.Sprintf("MessageAttributes.entry.%d.Name", i)); i++ {
			entry := fmt.Sprintf("MessageAttributes.entry.%d.", i)
			attributes[got.Get(entry+"Name")] = [2]string{got.Get(entry + "Value.DataType"), got.Get(entry + "Value.StringValue")}
			for _, field := range []string{"Name", "Value.DataType", "Value.StringValue"} {
				assert.Len(t, got[entry+field], 1)
				got.Del(entry + field)
			}
		}
		assert.Equal(t, want.Attributes, attributes)
		fields := map[string]string{}
		for name, values := range got {
			assert.Len(t, values, 1)
			fields[name] = values[0]
		}
		assert.Equal(t, want.Fields, fields)
		_, _ = io.WriteString(w, published)
	})
	require.NoError(t, err)
	require.Equal(t, otp.Receipt{Provider: "aws-sns", MessageID: "m-0002"}, receipt)
}

var errUnknown = errors.New("none of the kinds")

// is fails unless err is of the kind and of no narrower one.
func is(t *testing.T, err, kind error) {
	t.Helper()
	require.Error(t, err)
	wants := map[error][3]bool{
		otp.ErrNotAccepted:   {true, false, false},
		sender.ErrTryLater:   {true, true, false},
		otp.ErrUndeliverable: {false, false, true},
		errUnknown:           {},
	}
	got := [3]bool{errors.Is(err, otp.ErrNotAccepted), errors.Is(err, sender.ErrTryLater), errors.Is(err, otp.ErrUndeliverable)}
	require.Equal(t, wants[kind], got, "%v", err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		for _, secret := range append([]string{sendertest.Code, sendertest.To, sendertest.To[1:], "ann@example.org"}, secrets...) {
			require.NotContains(t, fmt.Sprintf(verb, err), secret)
		}
	}
}

// The errors of Publish and the common ones, as the query protocol has them. S-78 S-83
func TestSNSAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
		says   string
	}{
		{429, "Throttled", sender.ErrTryLater, "HTTP 429, code Throttled"},
		{400, "Throttling", sender.ErrTryLater, "HTTP 400, code Throttling"},
		{400, "OptedOut", otp.ErrUndeliverable, "HTTP 400, code OptedOut"},
		{400, "InvalidParameter", otp.ErrNotAccepted, "HTTP 400, code InvalidParameter"},
		{400, "ParameterValueInvalid", otp.ErrNotAccepted, "HTTP 400, code ParameterValueInvalid"},
		{400, "ValidationException", otp.ErrNotAccepted, "HTTP 400, code ValidationException"},
		{403, "AuthorizationError", otp.ErrNotAccepted, "HTTP 403, code AuthorizationError"},
		{403, "InvalidSecurity", otp.ErrNotAccepted, "HTTP 403, code InvalidSecurity"},
		{403, "InvalidClientTokenId", otp.ErrNotAccepted, "HTTP 403, code InvalidClientTokenId"},
		{403, "SignatureDoesNotMatch", otp.ErrNotAccepted, "HTTP 403, code SignatureDoesNotMatch"},
		{404, "NotFound", otp.ErrNotAccepted, "HTTP 404, code NotFound"},
		{400, "Told482913", otp.ErrNotAccepted, "HTTP 400: otp"},
		{500, "InternalError", errUnknown, "HTTP 500, code InternalError"},
		{503, "ServiceUnavailable", errUnknown, "HTTP 503, code ServiceUnavailable"},
		{503, "Throttling", sender.ErrTryLater, "HTTP 503, code Throttling"},
	} {
		calls := 0
		_, err := send(t, newSNS, sendertest.Message(otp.SMS), func(w http.ResponseWriter, r *http.Request) {
			calls++
			w.WriteHeader(c.status)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>Invalid parameter: PhoneNumber Reason: %s %s</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
				c.code, sendertest.To, r.Header.Get("Authorization"))
		})
		is(t, err, c.want)
		require.ErrorContains(t, err, "otp/aws: "+c.says)
		require.Equal(t, 1, calls, "a repeat could be a second message")
	}
}

// S-78
func TestSNSBrokenAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"empty":  func(http.ResponseWriter, *http.Request) {},
		"no XML": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
		"no ID": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Replace(published, "m-0002", "", 1))
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+published)
		},
		"closes": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
		},
	} {
		calls := 0
		_, err := send(t, newSNS, sendertest.Message(otp.SMS), func(w http.ResponseWriter, r *http.Request) {
			calls++
			h(w, r)
		})
		is(t, err, errUnknown)
		require.Equal(t, 1, calls, name)
	}
}

type maker struct {
	name    string
	service string // that the request is signed for
	make    func(string) (otp.Sender, error)
	m       otp.Message
}

func makers() []maker {
	return []maker{
		{"aws-sms", "sms-voice", newSMS, sendertest.Message(otp.SMS)},
		{"aws-voice", "sms-voice", newVoice, sendertest.Message(otp.Voice)},
		{"aws-sns", "sns", newSNS, sendertest.Message(otp.SMS)},
		{"aws-ses", "ses", newSES, mail()},
	}
}

// Requests are signed, for their service, with what must not change on the way.
func TestSignature(t *testing.T) {
	for _, c := range makers() {
		receipt, err := send(t, c.make, c.m, func(w http.ResponseWriter, r *http.Request) {
			auth := r.Header.Get("Authorization")
			assert.Regexp(t, `^AWS4-HMAC-SHA256 Credential=`+keyID+`/\d{8}/eu-central-1/`+c.service+`/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$`, auth)
			for _, h := range []string{"content-type", "host", "x-amz-date", "x-amz-security-token"} {
				assert.Regexp(t, "SignedHeaders=[^,]*"+h, auth)
			}
			if c.service == "sms-voice" {
				assert.Regexp(t, "SignedHeaders=[^,]*x-amz-target", auth)
				assert.Equal(t, "application/x-amz-json-1.0", r.Header.Get("Content-Type"))
			}
			assert.Equal(t, session, r.Header.Get("X-Amz-Security-Token"))
			for _, values := range r.Header {
				assert.NotContains(t, strings.Join(values, ""), key)
			}
			if c.name == "aws-sns" {
				_, _ = io.WriteString(w, published)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"MessageId":"m-0002"}`)
		})
		require.NoError(t, err)
		require.Equal(t, otp.Receipt{Provider: c.name, MessageID: "m-0002"}, receipt)
	}
}

// S-78: what keeps a request from being sent.
func TestNotSent(t *testing.T) {
	for _, c := range makers() {
		s, err := c.make("http://sms.example.com")
		require.NoError(t, err)
		_, err = s.Send(t.Context(), c.m)
		is(t, err, otp.ErrNotAccepted)
		require.ErrorContains(t, err, "endpoint is not https")

		gone := httptest.NewServer(nil)
		gone.Close()
		s, err = c.make(gone.URL)
		require.NoError(t, err)
		_, err = s.Send(t.Context(), c.m)
		is(t, err, sender.ErrTryLater)
	}

	cfg := config("https://sms.example.com")
	cfg.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
		return sdk.Credentials{}, errors.New("token " + session + " has expired")
	})
	s, err := aws.NewSNS(aws.SNSConfig{AWS: cfg})
	require.NoError(t, err)
	_, err = s.Send(t.Context(), sendertest.Message(otp.SMS))
	is(t, err, otp.ErrNotAccepted)
}

// A call has a deadline of its own, which covers the credentials.
func TestDeadline(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Minute: 10 * time.Second, 3 * time.Second: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config("https://sms.example.com")
			cfg.Credentials = sdk.CredentialsProviderFunc(func(ctx context.Context) (sdk.Credentials, error) {
				<-ctx.Done()
				return sdk.Credentials{}, ctx.Err()
			})
			s, err := aws.NewSNS(aws.SNSConfig{AWS: cfg})
			require.NoError(t, err)
			m := sendertest.Message(otp.SMS)
			m.TTL = ttl
			begun := time.Now()
			_, err = s.Send(context.Background(), m)
			is(t, err, sender.ErrTryLater)
			require.Equal(t, want, time.Since(begun))
		})
	}
}

// S-79: refused before there is a request.
func TestRefused(t *testing.T) {
	for _, c := range makers() {
		s, err := c.make("https://192.0.2.1")
		require.NoError(t, err)
		refused := func(what string, edit func(*otp.Message)) {
			t.Helper()
			m := c.m
			edit(&m)
			_, err := s.Send(t.Context(), m)
			is(t, err, otp.ErrNotAccepted)
			require.ErrorContains(t, err, "otp/aws: "+what)
		}
		refused("message is empty", func(m *otp.Message) { m.Content.Text, m.Content.HTML = "", "" })
		recipients := []string{"", "15005550006", "+0", "+1500555000a", "+15005550006,+15005550007", "+15005550006\n", "arn:aws:sns:eu-central-1:1:t"}
		what := "recipient is not an E.164 number"
		if c.name == "aws-ses" {
			what = "recipient is not an e-mail address"
			recipients = []string{
				"", "ann", "@example.org", "ann@", "ann@b@c", "ann@example.org,bob@example.org", "ann@example.org\r\nBcc: b@c.d", "ann@example.org\x00",
				"Ann <ann@example.org>", `"ann"@example.org`, "ann @example.org", "änn@example.org", "ann＠example.org", strings.Repeat("a", 251) + "@b.c",
			}
			for _, subject := range []string{"", "a\r\nBcc: b@c.d", "a\x00", "\xff"} {
				refused("subject ", func(m *otp.Message) { m.Content.Subject = subject })
			}
		}
		for _, to := range recipients {
			refused(what, func(m *otp.Message) { m.To = to })
		}
	}
}

// A code that has expired is of no use on somebody's phone.
func TestTimeToLive(t *testing.T) {
	for ttl, want := range map[time.Duration]any{
		0: nil, time.Second: 5.0, 90*time.Second + 999*time.Millisecond: 90.0, 24 * 365 * time.Hour: 259200.0,
	} {
		m := sendertest.Message(otp.SMS)
		m.TTL = ttl
		_, err := send(t, newSMS, m, func(w http.ResponseWriter, r *http.Request) {
			var body map[string]any
			assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
			assert.Equal(t, want, body["TimeToLive"])
			_, _ = io.WriteString(w, `{"MessageId":"m"}`)
		})
		require.NoError(t, err)
	}
}

// A mail without HTML has no empty part.
func TestSESText(t *testing.T) {
	m := mail()
	m.Content.HTML = ""
	_, err := send(t, newSES, m, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NotContains(t, string(body), "Html")
		_, _ = io.WriteString(w, `{"MessageId":"m"}`)
	})
	require.NoError(t, err)
}

func TestNew(t *testing.T) {
	good := config("https://sms.example.com")
	noRegion, noCredentials := good, good
	noRegion.Region = ""
	noCredentials.Credentials = nil
	for _, c := range []struct {
		want string
		make func() (*aws.Sender, error)
	}{
		{"Config.AWS has no region", func() (*aws.Sender, error) { return aws.NewSMS(aws.SMSConfig{AWS: noRegion}) }},
		{"Config.AWS has no credentials", func() (*aws.Sender, error) { return aws.NewSMS(aws.SMSConfig{AWS: noCredentials}) }},
		{"Config.AWS has no region", func() (*aws.Sender, error) { return aws.NewVoice(aws.VoiceConfig{}) }},
		{"Config.AWS has no region", func() (*aws.Sender, error) { return aws.NewSNS(aws.SNSConfig{}) }},
		{"Config.AWS has no region", func() (*aws.Sender, error) { return aws.NewSES(aws.SESConfig{}) }},
		{"Config.MaxPrice is not an amount such as 0.05", func() (*aws.Sender, error) { return aws.NewSMS(aws.SMSConfig{AWS: good, MaxPrice: "1"}) }},
		{"Config.MaxPrice is not an amount such as 0.05", func() (*aws.Sender, error) { return aws.NewSNS(aws.SNSConfig{AWS: good, MaxPrice: "$0.05"}) }},
		{"Config.MaxPrice is not an amount such as 0.05", func() (*aws.Sender, error) { return aws.NewVoice(aws.VoiceConfig{AWS: good, From: "x", MaxPrice: "a"}) }},
		{"Config.From is required", func() (*aws.Sender, error) { return aws.NewVoice(aws.VoiceConfig{AWS: good}) }},
		{`Config.Voice "HAL" is unknown`, func() (*aws.Sender, error) { return aws.NewVoice(aws.VoiceConfig{AWS: good, From: "x", Voice: "HAL"}) }},
		{"Config.From is required", func() (*aws.Sender, error) { return aws.NewSES(aws.SESConfig{AWS: good}) }},
		{"Config.From is not an address that mail can be sent from", func() (*aws.Sender, error) { return aws.NewSES(aws.SESConfig{AWS: good, From: "x"}) }},
		{"Config.From is not an address that mail can be sent from", func() (*aws.Sender, error) {
			return aws.NewSES(aws.SESConfig{AWS: good, From: "a@b.c\r\nBcc: d@e.f"})
		}},
	} {
		_, err := c.make()
		require.EqualError(t, err, "otp/aws: "+c.want)
	}
}

// S-83
func TestConfigsHideCredentials(t *testing.T) {
	type static struct{ sdk.Credentials } // as the SDK's own is
	cfg := sdk.Config{Region: "eu-central-1", Credentials: struct {
		sdk.CredentialsProvider
		Value static
	}{Value: static{sdk.Credentials{AccessKeyID: keyID, SecretAccessKey: key, SessionToken: session}}}}
	require.Contains(t, fmt.Sprintf("%+v", cfg), key, "the test has lost its point")
	sender, err := aws.NewSNS(aws.SNSConfig{AWS: cfg})
	require.NoError(t, err)
	for _, v := range []any{aws.SMSConfig{AWS: cfg}, aws.VoiceConfig{AWS: cfg}, aws.SNSConfig{AWS: cfg}, aws.SESConfig{AWS: cfg}, sender} {
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		for _, text := range []string{string(encoded), fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%q", v), fmt.Sprintf("%s", v)} {
			for _, secret := range secrets {
				require.NotContains(t, text, secret)
			}
		}
	}
}

// S-83: whatever the SDK is told to log, a message is not.
func TestNothingIsLogged(t *testing.T) {
	var log strings.Builder
	_, err := send(t, func(endpoint string) (otp.Sender, error) {
		cfg := config(endpoint)
		cfg.Logger = logging.NewStandardLogger(&log)
		return newSMSWith(cfg)
	}, sendertest.Message(otp.SMS), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"MessageId":"m"}`) })
	require.NoError(t, err)
	require.Empty(t, log.String())
}

// The caller's maps are copied.
func TestConfigIsCopied(t *testing.T) {
	parameters := map[string]string{"IN_ENTITY_ID": "1"}
	_, err := send(t, func(endpoint string) (otp.Sender, error) {
		s, err := aws.NewSMS(aws.SMSConfig{AWS: config(endpoint), CountryParameters: parameters})
		parameters["IN_ENTITY_ID"] = "2"
		return s, err
	}, sendertest.Message(otp.SMS), func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Contains(t, string(body), `"DestinationCountryParameters":{"IN_ENTITY_ID":"1"}`)
		_, _ = io.WriteString(w, `{"MessageId":"m"}`)
	})
	require.NoError(t, err)
}
