package message

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"otp.example/otp"
)

// A Config is what [New] makes a Renderer from. The zero Config is valid.
type Config struct {
	// Templates holds templates that take the place of the default ones; the package
	// comment describes the files. It is read by New alone. Nil means none.
	Templates fs.FS

	// App is the name under which people know the service, at most 64 bytes. Messages
	// begin with it. Empty means that the default templates name nobody.
	App string

	// Host is the host, without scheme and port, of the pages into which a browser or
	// phone may fill the code of an SMS, such as "example.com"; an international one in
	// its ASCII form. Empty means no such line.
	Host string

	// AndroidHash is the 11 characters by which the SMS Retriever of Android knows the
	// app that may read the code. Android takes at most 140 bytes. So an SMS that would
	// be longer is written without .Purpose, then without .App, and if that does not help
	// without the hash: the person then types the code. What is not of the GSM alphabet
	// has 70 characters, which is rarely enough for Host and hash. Empty means no hash.
	AndroidHash string

	// MaxSegments bounds an SMS in the parts that operators charge for (see
	// [Segments]). A longer one is an error, and is not sent. The default templates take
	// up to 2, more with a Binding. Zero means 4.
	MaxSegments int

	// Locale is the language of messages that name none or one that has no templates.
	// Empty means "en".
	Locale string
}

// A Renderer writes messages. It is safe for concurrent use. Make one with [New].
type Renderer struct {
	cfg       Config
	templates templates
}

// New parses all templates and tries each with made-up messages, so that what is wrong
// with one is found here. Its error names the file or the field.
func New(cfg Config) (*Renderer, error) {
	if cfg.MaxSegments == 0 {
		cfg.MaxSegments = 4
	}
	cfg.Host = strings.ToLower(cfg.Host)
	switch {
	case len(cfg.App) > 64 || cfg.App != clean(cfg.App):
		return nil, errors.New("otp: message.Config.App is longer than 64 bytes, or has spaces around it or a character that cannot be seen")
	case cfg.Host != "" && !isHost(cfg.Host):
		return nil, errors.New("otp: message.Config.Host is not a host name (international ones as xn--…)")
	case cfg.AndroidHash != "" && !isAndroidHash(cfg.AndroidHash):
		return nil, errors.New("otp: message.Config.AndroidHash is not 11 characters of Base64")
	case cfg.MaxSegments < 1:
		return nil, errors.New("otp: message.Config.MaxSegments is negative")
	}
	t, err := load(cfg.Templates)
	if err != nil {
		return nil, err
	}
	if cfg.Locale != "" && !t.know(cfg.Locale) {
		return nil, errors.New("otp: message.Config.Locale has no templates")
	}
	r := &Renderer{cfg: cfg, templates: t}
	if err := r.try(); err != nil {
		return nil, err
	}
	return r, nil
}

// Render writes the text of m, for e-mail its subject and HTML, too. It is made for
// otp.Config.Render. It fails if the text would be wrong: without the code in one piece,
// with less than a second to live, with a Binding of which nothing can be seen, longer
// than MaxSegments, or with something that can be taken for the last line of an SMS. The
// error holds nothing of m.
func (r *Renderer) Render(_ context.Context, m otp.Message) (otp.Content, error) {
	k := key{tenant: m.Tenant, channel: m.Channel, usage: m.Usage}
	var text *textTemplate
	k.lang, text = r.templates.text(k, slices.Concat(fallbacks(m.Locale), fallbacks(r.cfg.Locale)))
	return r.render(m, k.lang, text, r.templates.html(k))
}

// data is what templates are given.
type data struct {
	App, Code, Spoken, Lifetime, Purpose, Binding string
	TTL                                           time.Duration

	Lang, Dir, Subject string
	Paragraphs         []string
}

func (r *Renderer) render(m otp.Message, lang string, text *textTemplate, layout *htmlTemplate) (otp.Content, error) {
	d := data{
		App: r.cfg.App, Code: m.Code.Reveal(), Binding: clean(m.Binding), TTL: m.TTL,
		Lifetime: lifetime(lang, m.TTL), Purpose: purpose(lang, m.Usage), Lang: lang, Dir: direction(lang),
	}
	switch {
	case !isCode(d.Code):
		return otp.Content{}, errors.New("otp: message: Code has other characters than letters and digits")
	case m.TTL < time.Second:
		return otp.Content{}, errors.New("otp: message: TTL is less than a second")
	case m.Binding != "" && d.Binding == "":
		return otp.Content{}, errors.New("otp: message: Binding has nothing that can be seen")
	}
	d.Spoken = strings.Join(strings.Split(d.Code, ""), ", ")
	if m.Channel != otp.Voice { // what a voice reads has no directions
		d.App, d.Binding = isolate(d.App, d.Dir), isolate(d.Binding, d.Dir)
	}

	c, err := write(text, m, d)
	if err != nil {
		return otp.Content{}, err
	}
	if layout != nil {
		d.Subject, d.Paragraphs = c.Subject, strings.Split(c.Text, "\n\n")
		if c.HTML, err = layout.execute(d); err != nil {
			return otp.Content{}, err
		}
		if err := check(html.UnescapeString(c.HTML), m, d); err != nil {
			return otp.Content{}, err
		}
	}
	if m.Channel == otp.SMS {
		if c.Text, err = r.sms(c.Text, text, m, d); err != nil {
			return otp.Content{}, err
		}
	}
	return c, nil
}

func write(t *textTemplate, m otp.Message, d data) (otp.Content, error) {
	c, err := t.execute(d)
	if err == nil {
		err = check(c.Text, m, d)
	}
	return c, err
}

// check finds what is missing in a text, or must not be in it.
func check(text string, m otp.Message, d data) error {
	shown := d.Code
	if m.Channel == otp.Voice {
		shown = d.Spoken
	}
	switch {
	case !hasWord(text, shown):
		return errors.New("otp: message: the code is missing in the text, or is not in one piece")
	// PSD2 RTS article 5(1)(a): the payer is made aware of amount and payee.
	case m.Usage == otp.Payment && !strings.Contains(text, d.Binding):
		return errors.New("otp: message: the text of a payment does not show its Binding")
	case m.Channel == otp.SMS && looksBound.MatchString(text):
		return errors.New("otp: message: the text holds what can be taken for the last line of an SMS: @host #code")
	}
	return nil
}

// hasWord reports whether word stands in s with no letter or digit next to it that
// could be taken for a part of it.
func hasWord(s, word string) bool {
	for i := 0; ; i++ {
		n := strings.Index(s[i:], word)
		if n < 0 {
			return false
		}
		i += n
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(word):])
		if !continues(before) && !continues(after) {
			return true
		}
	}
}

func continues(r rune) bool {
	return unicode.IsDigit(r) || r < utf8.RuneSelf && unicode.IsLetter(r)
}

// isCode reports whether s is a code of any of the alphabets.
func isCode(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// try renders every template with and without what may be empty.
func (r *Renderer) try() error {
	sample := otp.Message{Code: otp.NewSecret("493817"), TTL: 5 * time.Minute}
	for k, text := range r.templates.texts {
		m := sample
		m.Tenant, m.Channel, m.Usage = k.tenant, k.channel, k.usage
		if k.channel == anyChannel {
			m.Channel = otp.SMS
		}
		for _, m.Binding = range []string{"", "1 EUR"} {
			if _, err := r.render(m, k.lang, text, nil); err != nil {
				return fmt.Errorf("%w: %s", err, text.file)
			}
		}
	}
	for k, layout := range r.templates.htmls {
		m := sample
		m.Tenant, m.Channel, m.Usage = k.tenant, k.channel, k.usage
		lang, text := r.templates.text(k, fallbacks(k.lang))
		for _, m.Binding = range []string{"", "1 EUR"} {
			if _, err := r.render(m, lang, text, layout); err != nil {
				return fmt.Errorf("%w: %s", err, layout.file)
			}
		}
	}
	return nil
}
