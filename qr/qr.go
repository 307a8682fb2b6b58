package qr

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"strconv"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

const (
	// quiet is the width of the light margin, in modules.
	quiet = 4
	// maxText is what the largest code of level M holds, in bytes.
	maxText = 2331
	// maxScale keeps the largest image below 4000 pixels a side.
	maxScale = 20
)

// PNG returns text as a black and white image, in which a module (a little square) is
// scale pixels wide and high, from 1 to 20. 8 suits most screens.
//
// It is an error if text is empty or has more than 2331 bytes. For the characters in
// it: apps and readers disagree about what is not ASCII. Key URIs of package otpauth
// are ASCII.
func PNG(text string, scale int) ([]byte, error) {
	if scale < 1 || scale > maxScale {
		return nil, fmt.Errorf("qr: scale is %d, must be 1 to %d", scale, maxScale)
	}
	m, err := encode(text)
	if err != nil {
		return nil, err
	}
	img := image.NewPaletted(image.Rect(0, 0, m.side*scale, m.side*scale), color.Palette{color.White, color.Black}) // one bit a pixel
	for y := range m.side {
		first := img.Pix[y*scale*img.Stride:][:img.Stride]
		for x := range m.side {
			if m.dark(x, y) {
				for i := range scale {
					first[x*scale+i] = 1
				}
			}
		}
		for i := 1; i < scale; i++ {
			copy(img.Pix[(y*scale+i)*img.Stride:], first)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// SVG returns text as an SVG element to put into a page. It has no size of its own:
// set one by CSS, or get the width of its place. It is black on white in a dark page,
// too. Screen readers read title, which must not be the text; if it is empty, they read
// "QR code". The errors are those of [PNG].
func SVG(text, title string) (string, error) {
	m, err := encode(text)
	if err != nil {
		return "", err
	}
	if title == "" {
		title = "QR code"
	}
	var b strings.Builder
	side := strconv.Itoa(m.side)
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + side + ` ` + side + `" role="img" shape-rendering="crispEdges">`)
	b.WriteString(`<title>` + html.EscapeString(title) + `</title><rect width="100%" height="100%" fill="#fff"/><path d="`)
	for y := range m.side {
		for x := 0; x < m.side; x++ {
			if !m.dark(x, y) {
				continue
			}
			start := x
			for m.dark(x, y) { // ends in the quiet zone
				x++
			}
			width := strconv.Itoa(x - start)
			b.WriteString("M" + strconv.Itoa(start) + " " + strconv.Itoa(y) + "h" + width + "v1h-" + width + "z")
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}

// Terminal returns text as lines of half blocks, two modules high each, for a terminal
// with light text on a dark background. For dark text on a light background set
// inverse, or readers see a negative, which some cannot read. The errors are those of
// [PNG].
func Terminal(text string, inverse bool) (string, error) {
	m, err := encode(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for y := 0; y < m.side; y += 2 {
		for x := range m.side {
			// A block shows the color of the text.
			upper, lower := m.dark(x, y) == inverse, m.dark(x, y+1) == inverse
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// A matrix is a code with its quiet zone.
type matrix struct {
	code barcode.Barcode
	side int
}

func encode(text string) (matrix, error) {
	if text == "" {
		return matrix{}, errors.New("qr: text is empty")
	}
	if len(text) > maxText {
		return matrix{}, fmt.Errorf("qr: text has %d bytes, must have at most %d", len(text), maxText)
	}
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return matrix{}, errors.New("qr: text cannot be encoded") // the error may quote it
	}
	return matrix{code, code.Bounds().Dx() + 2*quiet}, nil
}

// dark reports whether a module is dark. Outside of the code none is.
func (m matrix) dark(x, y int) bool {
	x, y = x-quiet, y-quiet
	n := m.side - 2*quiet
	return 0 <= x && x < n && 0 <= y && y < n && m.code.At(x, y) == color.Black
}
