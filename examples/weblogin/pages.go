package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// A page is what templates show. Nothing of it comes from a request, and nothing
// depends on whether an account exists.
type page struct {
	Title   string
	Name    string
	Problem string
	Form    string // names this copy of the form
	Wait    int    // seconds until another code may be asked for
	Final   bool   // there are no further codes
}

const style = `body{font:1.1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}` +
	`input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 1rem}` +
	`#code{letter-spacing:.2em}.problem{color:#a00}`

const layout = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{{- if .Wait}}
<meta http-equiv="refresh" content="{{.Wait}}">
{{- end}}
<title>{{.Title}}</title>
<style>` + style + `</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{- with .Problem}}
<p class="problem" role="alert">{{.}}</p>
{{- end}}
{{template "body" .}}
</body>
</html>
`

var (
	// Browsers that put back what a form held before a reload would put back its name, too:
	// hence autocomplete="off".
	loginPage = parse(`<form method="post" action="/login">
<input type="hidden" name="form" value="{{.Form}}" autocomplete="off">
<label for="to">Your e-mail address or phone number</label>
<input id="to" name="to" autocomplete="username" required autofocus maxlength="254">
<button>Send me a code</button>
</form>`)

	// With autocomplete="one-time-code" phones offer the code out of a message, and
	// with inputmode="numeric" they show the number pad. It is not type="number": that
	// drops zeros at the front.
	codePage = parse(`<p>If there is such an account, a code is on its way.</p>
<form method="post" action="/code">
<label for="code">Code</label>
<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required autofocus maxlength="40">
<button>Log in</button>
</form>
<p>No message? <a href="/resend">Get another code</a> or <a href="/">start again</a>.</p>`)

	resendPage = parse(`{{if .Final}}<p>There are no more codes for this login. <a href="/">Start again</a>.</p>
{{- else if .Wait}}<p>You can get another code in {{.Wait}} seconds.</p>
{{- else}}<form method="post" action="/resend"><button>Send me another code</button></form>
{{- end}}
<p><a href="/code">I have a code</a></p>`)

	homePage = parse(`<p>You are logged in as {{.Name}}.</p>
<form method="post" action="/logout"><button>Log out</button></form>`)
)

func parse(body string) *template.Template {
	t := template.Must(template.New("layout").Parse(layout))
	return template.Must(t.New("body").Parse(body))
}

// render builds the whole page before it sends any of it, so that a template that fails
// is a clean 500.
func render(w http.ResponseWriter, status int, t *template.Template, p page) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have gone
}

// secured sets the headers that every answer has.
func secured(next http.Handler) http.Handler {
	sum := sha256.Sum256([]byte(style))
	// No scripts, no pictures, no frames: this style and these forms are all there is.
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		// Pages that say who is logged in, and answers about codes, are nobody else's.
		h.Set("Cache-Control", "no-store")
		// Not no-referrer: with it browsers send "Origin: null" with our own forms, and
		// the protection against foreign ones would refuse them.
		h.Set("Referrer-Policy", "same-origin")
		// In earnest also Strict-Transport-Security; here it would spoil localhost.
		next.ServeHTTP(w, r)
	})
}
