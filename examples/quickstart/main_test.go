package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var code = regexp.MustCompile(`\b\d{8}\b`)

// story is what every run prints after the login.
const story = `The same code again? Refused: it was used.

Somebody asks for a code to another address and guesses at it.
email to somebody.else@example.net: ######## is your code for login. It is valid for 10 minutes. Do not share it.
A wrong code? Refused. Tries left: 4.
A wrong code? Refused. Tries left: 3.
A wrong code? Refused. Tries left: 2.
A wrong code? Refused. Tries left: 1.
A wrong code? Refused. Tries left: 0.
The right code? Refused: it comes too late.

What the audit log says, without a code or a whole address:
`

// masked hides what differs from run to run.
func masked(out string) string {
	out = code.ReplaceAllString(out, "########")
	out = regexp.MustCompile(`wait \d+s`).ReplaceAllString(out, "wait #s")
	return regexp.MustCompile(` +\n`).ReplaceAllString(out, "\n")
}

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), strings.NewReader(""), &out, true))
	require.Equal(t, `Your e-mail address?
> ann@example.com
email to ann@example.com: ######## is your code for login. It is valid for 10 minutes. Do not share it.
A second message right away? Refused: wait #s.

The code in the message?
> ########
Welcome, ann@example.com.
`+story+`  requested                       a***@example.com
  sent                            a***@example.com
  limited    limited_by_recipient a***@example.com
  verified                        a***@example.com
  rejected   already_verified
  requested                       s***@example.net
  sent                            s***@example.net
  rejected   mismatch
  rejected   mismatch
  rejected   mismatch
  rejected   mismatch
  rejected   mismatch
  rejected   attempts_exceeded
`, masked(out.String()))
}

// A person reads what the program has printed and types a line.
type person struct {
	out   *bytes.Buffer
	types []func(printed string) string
}

func (p *person) Read(b []byte) (int, error) {
	if len(p.types) == 0 {
		return 0, io.EOF
	}
	line := p.types[0](p.out.String())
	p.types = p.types[1:]
	return copy(b, line+"\n"), nil
}

func TestDialog(t *testing.T) {
	says := func(line string) func(string) string { return func(string) string { return line } }
	sent := func(printed string) string { return code.FindString(printed) }
	var out bytes.Buffer
	in := &person{&out, []func(string) string{
		says("ann"), says("ann@example.com"), says("12"),
		func(printed string) string { return another(sent(printed)) },
		func(printed string) string { c := sent(printed); return c[:4] + " " + c[4:] },
	}}
	require.NoError(t, run(t.Context(), in, &out, false))
	printed, _, _ := strings.Cut(masked(out.String()), "  refused ")
	require.Equal(t, `Your e-mail address?
otp: invalid request: To does not have exactly one @
Your e-mail address?
email to ann@example.com: ######## is your code for login. It is valid for 10 minutes. Do not share it.
A second message right away? Refused: wait #s.

The code in the message?
That cannot be it: a code has 8 digits.

The code in the message?
That is not it. Tries left: 4.

The code in the message?
Welcome, ann@example.com.
`+story, printed)
}

func TestNobodyAnswers(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), strings.NewReader(""), io.Discard, false), io.ErrUnexpectedEOF)
}
