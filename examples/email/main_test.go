package main

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func nothing(string) string { return "" }

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, nothing, "ann@bücher.example", true))

	got := out.String()
	for _, mask := range []struct{ pattern, with string }{
		{`\b\d{8}\b`, "########"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:#"},
		{`[0-9a-f]{32}@`, "#@"},
		{`Date: .*`, "Date: #"},
		{`[0-9a-f]{60}`, "#"},
	} {
		got = regexp.MustCompile(mask.pattern).ReplaceAllString(got, mask.with)
	}
	require.Equal(t, `A mail server of our own listens at 127.0.0.1:#.
The mail is on its way as #@example.com.
The server got:

  Auto-Submitted: auto-generated
  Date: #
  MIME-Version: 1.0
  Message-ID: <#@example.com>
  Subject: Your code
  From: "Example" <login@example.com>
  To: <ann@xn--bcher-kva.example>
  Content-Type: multipart/alternative;
   boundary=#

  --#
  Content-Transfer-Encoding: quoted-printable
  Content-Type: text/plain; charset=UTF-8

  ######## is your code for login. It is valid for 10 minutes. Do not share i=
  t.
  --#
  Content-Transfer-Encoding: quoted-printable
  Content-Type: text/html; charset=UTF-8

  <p>Your code is</p>
  <p style=3D"font: bold 2em monospace">########</p>
  <p>It is for this login only. Do not share it.</p>

  --#--

Right: whoever typed it in reads the mail of ann@xn--bcher-kva.example.
`, got)
}

// A person reads the mail and types the code in.
func TestPerson(t *testing.T) {
	for _, typed := range []string{"right", "wrong", ""} {
		in, person := io.Pipe()
		out := reader{to: person, typed: typed}
		err := run(t.Context(), in, &out, nothing, "ann@example.org", false)
		switch typed {
		case "right":
			require.NoError(t, err)
		case "wrong":
			require.ErrorIs(t, err, otp.ErrMismatch)
		default:
			require.ErrorContains(t, err, "no code was typed in")
		}
	}
}

// A reader reads what is printed, and answers the question at its end.
type reader struct {
	bytes.Buffer
	to    *io.PipeWriter
	typed string
}

func (r *reader) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "What is the code?") {
		code := digits.FindString(r.String())
		if r.typed == "wrong" {
			code = code[1:] + string('0'+(code[0]-'0'+1)%10)
		}
		go func() {
			if r.typed != "" {
				_, _ = io.WriteString(r.to, code+"\n")
			}
			_ = r.to.Close()
		}()
	}
	return r.Buffer.Write(b)
}

// The environment names the server; its certificate is checked like any other.
func TestEnvironment(t *testing.T) {
	local, err := listen(t.Context())
	require.NoError(t, err)
	defer local.close()
	env := map[string]string{"SMTP_HOST": "127.0.0.1", "SMTP_PORT": strconv.Itoa(local.port), "SMTP_FROM": "login@example.com"}
	getenv := func(name string) string { return env[name] }

	err = run(t.Context(), nil, io.Discard, getenv, "ann@example.org", false)
	require.ErrorContains(t, err, "certificate is by an unknown authority")
	require.Empty(t, local.mails)

	env["SMTP_PORT"] = "x"
	require.EqualError(t, run(t.Context(), nil, io.Discard, getenv, "ann@example.org", false), "SMTP_PORT is not a number")
	env["SMTP_FROM"], env["SMTP_PORT"] = "", ""
	require.ErrorContains(t, run(t.Context(), nil, io.Discard, getenv, "ann@example.org", false), "Config.From is required")
}
