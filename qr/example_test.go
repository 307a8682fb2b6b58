package qr_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"otp.example/otp/qr"
)

// A page that shows the code once.
func ExampleSVG() {
	page := func(w http.ResponseWriter, _ *http.Request) {
		svg, err := qr.SVG("otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "QR code for your authenticator app")
		if err != nil {
			http.Error(w, "no QR code", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		_, _ = fmt.Fprint(w, "<!doctype html><title>Set up</title>", svg)
	}

	w := httptest.NewRecorder()
	page(w, nil)
	text := w.Body.String()
	fmt.Println(text[:strings.Index(text, "<path")])
	// Output: <!doctype html><title>Set up</title><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 41 41" role="img" shape-rendering="crispEdges"><title>QR code for your authenticator app</title><rect width="100%" height="100%" fill="#fff"/>
}

func ExamplePNG() {
	data, err := qr.PNG("otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 8)
	fmt.Printf("%q %v\n", data[1:4], err)
	// Output: "PNG" <nil>
}

func ExampleTerminal() {
	s, err := qr.Terminal("HELLO", true) // for dark text on a light background
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(s) {
		fmt.Println("|" + strings.TrimSuffix(line, "\n") + "|")
	}
	// Output:
	// |                             |
	// |                             |
	// |    █▀▀▀▀▀█   ▀█▀ █▀▀▀▀▀█    |
	// |    █ ███ █ █ ▀▄█ █ ███ █    |
	// |    █ ▀▀▀ █ ██▀▀█ █ ▀▀▀ █    |
	// |    ▀▀▀▀▀▀▀ █ ▀▄█ ▀▀▀▀▀▀▀    |
	// |    ▀ ▀▀█▀▀▄▄▄  █ ▀█▀██▄▄    |
	// |    ▀▀▄▄▀▀▀▀ ▄ ▀ ▀ ▄█▀  ▀    |
	// |        ▀▀▀▀▄ ██▄█▄ ▀▄▀▄▄    |
	// |    █▀▀▀▀▀█ ▄▄▄▄█▄█▀ ▄▀ █    |
	// |    █ ███ █ █ ▀ █  █  █      |
	// |    █ ▀▀▀ █ ▀ ▄▀ ▀ ▄█ █ ▄    |
	// |    ▀▀▀▀▀▀▀ ▀ ▀▀ ▀  ▀ ▀      |
	// |                             |
	// |                             |
}
