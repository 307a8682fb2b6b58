package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// A page is what templates show.
type page struct {
	Title     string
	Name      string
	Problem   string
	Active    bool // an app is enrolled
	Remaining int  // recovery codes
	QR        template.HTML
	Key       string
	Codes     string
}

const style = `body{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}` +
	`input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 1rem}` +
	`#code{letter-spacing:.2em}.problem{color:#a00}svg{width:14rem;display:block;margin:auto}pre{overflow-x:auto}`

const layout = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
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
	loginPage = parse(`<form method="post" action="/login">
<label for="password">Password of ann@example.com</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>`)

	codePage = parse(`<form method="post" action="/code">
<label for="code">Code of your authenticator app, or a recovery code</label>
<input id="code" name="code" autocomplete="one-time-code" required autofocus maxlength="40">
<button>Go on</button>
</form>
<form method="post" action="/logout"><button>Start again</button></form>`)

	setupPage = parse(`{{with .QR}}<p>Scan this with your authenticator app:</p>
{{.}}
{{end}}{{with .Key}}<p>or type it in: <code id="key">{{.}}</code></p>
{{end}}<form method="post" action="/confirm">
<label for="code">The code that it shows</label>
<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required autofocus maxlength="16">
<button>Confirm</button>
</form>`)

	recoveryPage = parse(`<p>Print these and keep them where your phone is not. Each works once.</p>
<pre id="codes">{{.Codes}}</pre>
<p><a href="/">I have them</a></p>`)

	homePage = parse(`<p>You are logged in as {{.Name}}.
{{- if .Active}} Your authenticator app is on. You have {{.Remaining}} recovery codes.{{end}}</p>
<form method="post" action="/setup"><button>{{if .Active}}Add another app{{else}}Set up an authenticator app{{end}}</button></form>
{{- if .Active}}
<form method="post" action="/recovery"><button>Make new recovery codes</button></form>
{{- end}}
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
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store") // a page with a secret is never kept
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
