package message

import (
	"cmp"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"

	"otp.example/otp"
)

//go:embed templates
var defaults embed.FS

// anyChannel is in the place of a channel the name of the file for all that have none.
const anyChannel otp.Channel = "message"

// A key says what a template is for. Empty fields mean any.
type key struct {
	tenant, lang string
	channel      otp.Channel
	usage        otp.Usage
}

type templates struct {
	texts map[key]*textTemplate
	htmls map[key]*htmlTemplate
}

type textTemplate struct {
	file    string
	subject *template.Template // nil where there is none
	body    *template.Template
}

type htmlTemplate struct {
	file string
	body *htmltemplate.Template
}

// load reads the default templates and over them those of user.
func load(user fs.FS) (templates, error) {
	t := templates{texts: map[key]*textTemplate{}, htmls: map[key]*htmlTemplate{}}
	own, err := fs.Sub(defaults, "templates")
	if err != nil {
		return t, err
	}
	if err := t.read(own); err != nil || user == nil {
		return t, err
	}
	return t, t.read(user)
}

func (t templates) read(fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		ext := path.Ext(file)
		if err != nil || d.IsDir() || ext != ".txt" && ext != ".html" {
			return err
		}
		k, ok := parsePath(strings.TrimSuffix(file, ext), ext)
		if !ok {
			return fmt.Errorf("otp: message: %s is not where a template is looked for: a path begins with a language, \"tenants\" or \"email.html\"", file)
		}
		b, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		if ext == ".html" {
			t.htmls[k], err = parseHTML(file, string(b))
		} else {
			t.texts[k], err = parseText(file, string(b), k.channel)
		}
		return err
	})
}

// parsePath reads [tenants/TENANT/]LANG/CHANNEL[/USAGE]; LANG may be missing for HTML.
func parsePath(file, ext string) (k key, ok bool) {
	parts := strings.Split(file, "/")
	if len(parts) > 2 && parts[0] == "tenants" {
		k.tenant, parts = parts[1], parts[2:]
	}
	switch len(parts) {
	case 1:
		k.channel, ok = otp.Channel(parts[0]), ext == ".html"
	case 2:
		k.lang, k.channel, ok = canonicalTag(parts[0]), otp.Channel(parts[1]), true
	case 3:
		k.lang, k.channel, k.usage, ok = canonicalTag(parts[0]), otp.Channel(parts[1]), otp.Usage(parts[2]), true
	}
	return k, ok
}

func parseText(file, source string, channel otp.Channel) (*textTemplate, error) {
	t := &textTemplate{file: file}
	source = strings.ReplaceAll(source, "\r\n", "\n")
	var err error
	if rest, ok := strings.CutPrefix(source, "Subject:"); ok {
		var subject string
		subject, source, _ = strings.Cut(rest, "\n")
		if t.subject, err = template.New(file).Parse(subject); err != nil {
			return nil, fmt.Errorf("otp: message: %w", err)
		}
	} else if channel == otp.Email {
		return nil, fmt.Errorf(`otp: message: %s does not begin with "Subject:"`, file)
	}
	if t.body, err = template.New(file).Parse(source); err != nil {
		return nil, fmt.Errorf("otp: message: %w", err)
	}
	return t, nil
}

func parseHTML(file, source string) (*htmlTemplate, error) {
	body, err := htmltemplate.New(file).Parse(source)
	if err != nil {
		return nil, fmt.Errorf("otp: message: %w", err)
	}
	return &htmlTemplate{file: file, body: body}, nil
}

// know reports whether there are texts for a locale.
func (t templates) know(locale string) bool {
	for k := range t.texts {
		if slices.Contains(fallbacks(locale), k.lang) {
			return true
		}
	}
	return false
}

// text returns the template for k in the first of langs that has one, and that language.
// There is always one in English.
func (t templates) text(k key, langs []string) (string, *textTemplate) {
	for _, lang := range append(langs, "en") {
		for _, channel := range []otp.Channel{k.channel, anyChannel} {
			for _, tenant := range tenants(k.tenant) {
				for _, usage := range []otp.Usage{k.usage, ""} {
					if found, ok := t.texts[key{tenant, lang, channel, usage}]; ok {
						return lang, found
					}
				}
			}
		}
	}
	return "", nil // unreachable
}

// html returns the layout for k, or nil.
func (t templates) html(k key) *htmlTemplate {
	for _, tenant := range tenants(k.tenant) {
		for _, lang := range append(fallbacks(k.lang), "") {
			if found := cmp.Or(t.htmls[key{tenant, lang, k.channel, k.usage}], t.htmls[key{tenant, lang, k.channel, ""}]); found != nil {
				return found
			}
		}
	}
	return nil
}

func tenants(name string) []string {
	if name == "" {
		return []string{""}
	}
	return []string{name, ""}
}

func (t *textTemplate) execute(d data) (c otp.Content, err error) {
	var out strings.Builder
	if t.subject != nil {
		if err := t.subject.Execute(&out, d); err != nil {
			return c, fmt.Errorf("otp: message: %w", err)
		}
		c.Subject = strings.Join(strings.Fields(out.String()), " ")
		out.Reset()
	}
	if err := t.body.Execute(&out, d); err != nil {
		return c, fmt.Errorf("otp: message: %w", err)
	}
	c.Text = tidy(out.String())
	return c, nil
}

func (t *htmlTemplate) execute(d data) (string, error) {
	var out strings.Builder
	if err := t.body.Execute(&out, d); err != nil {
		return "", fmt.Errorf("otp: message: %w", err)
	}
	return out.String(), nil
}
