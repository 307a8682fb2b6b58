package qr

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
	"otp.example/otp/otpauth"
	"otp.example/otp/qr"
)

// keys are from the smallest URI to the largest.
func keys() []otpauth.Key {
	secret := []byte("12345678901234567890")
	return []otpauth.Key{
		{Account: "a", Secret: secret[:16]},
		{Issuer: "Example Co", Account: "alice@example.com", Secret: secret},
		{Issuer: "A&secret=B", Account: "100% +/?#", Secret: secret, Algorithm: hotp.SHA256, Digits: 8, Period: time.Minute},
		{Type: otpauth.HOTP, Issuer: "Müller & Söhne", Account: "zoë", Secret: secret, Counter: 1 << 62},
		{Issuer: "日本語の会社", Account: "👩🚀@example.com", Secret: bytes.Repeat([]byte{0xa5}, 64), Algorithm: hotp.SHA512},
		{Issuer: strings.Repeat("é", 32), Account: strings.Repeat("é", 64), Secret: bytes.Repeat([]byte{0xa5}, 64)},
		{
			Issuer: strings.Repeat("é", 64), Account: strings.Repeat("é", 128), Secret: bytes.Repeat([]byte{0xa5}, 128),
			Algorithm: hotp.SHA512, Digits: 8, Period: 120 * time.Second,
		},
	}
}

// S-61: zbarimg reads the key URI in every drawing of it, and Parse the key in that.
func TestZBarReadsOurs(t *testing.T) {
	t.Parallel()
	zbarimg, err := exec.LookPath("zbarimg")
	if err != nil {
		const missing = "zbarimg is not installed: apt-get install zbar-tools"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	for i, k := range keys() {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			uri, err := k.URI()
			require.NoError(t, err)
			drawings := map[string][]byte{}
			for _, scale := range []int{2, 4, 8} {
				drawings["png "+strconv.Itoa(scale)], err = qr.PNG(uri, scale)
				require.NoError(t, err)
			}
			svg, err := qr.SVG(uri, "Scan this")
			require.NoError(t, err)
			drawings["svg"] = encode(t, fromSVG(t, svg))
			for _, inverse := range []bool{false, true} {
				s, err := qr.Terminal(uri, inverse)
				require.NoError(t, err)
				drawings["terminal, inverse "+strconv.FormatBool(inverse)] = encode(t, fromTerminal(s, inverse))
			}
			for name, data := range drawings {
				file := filepath.Join(t.TempDir(), "code.png")
				require.NoError(t, os.WriteFile(file, data, 0o600))
				out, err := exec.CommandContext(t.Context(), zbarimg, "--quiet", "--raw", "--nodbus", "--set", "*.enable=0", "--set", "qrcode.enable=1", file).CombinedOutput()
				require.NoError(t, err, "%s: %s", name, out)
				require.Equal(t, uri, strings.TrimSuffix(string(out), "\n"), name)
			}
			got, err := otpauth.Parse(uri)
			require.NoError(t, err)
			again, err := got.URI()
			require.NoError(t, err)
			require.Equal(t, uri, again)
		})
	}
}

// scale is how large a module is where this test paints it.
const scale = 4

// A canvas is painted as a browser or a terminal would.
type canvas struct{ *image.Gray }

func newCanvas(width, height int, background color.Gray) canvas {
	c := canvas{image.NewGray(image.Rect(0, 0, width*scale, height*scale))}
	for i := range c.Pix {
		c.Pix[i] = background.Y
	}
	return c
}

func (c canvas) fill(x, y, width, height int, g color.Gray) {
	for v := y * scale; v < (y+height)*scale; v++ {
		for u := x * scale; u < (x+width)*scale; u++ {
			c.SetGray(u, v, g)
		}
	}
}

func encode(t *testing.T, c canvas) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, c))
	return b.Bytes()
}

var (
	run     = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-\d+z`)
	viewBox = regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`)
	black   = color.Gray{}
	white   = color.Gray{Y: 0xff}
)

// fromSVG paints the element on a black page.
func fromSVG(t *testing.T, svg string) canvas {
	t.Helper()
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	box := viewBox.FindStringSubmatch(svg)
	require.NotNil(t, box)
	c := newCanvas(number(box[1])+10, number(box[2])+10, black)
	require.Contains(t, svg, `<rect width="100%" height="100%" fill="#fff"/>`)
	c.fill(5, 5, number(box[1]), number(box[2]), white)
	for _, m := range run.FindAllStringSubmatch(svg, -1) {
		c.fill(number(m[1])+5, number(m[2])+5, number(m[3]), 1, black)
	}
	return c
}

// fromTerminal paints the lines in a terminal, whose cells are twice as high as wide.
func fromTerminal(s string, inverse bool) canvas {
	ink, paper := white, black
	if inverse {
		ink, paper = paper, ink
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	c := newCanvas(len([]rune(lines[0])), 2*len(lines), paper)
	for y, line := range lines {
		for x, r := range []rune(line) {
			if r == '▀' || r == '█' {
				c.fill(x, 2*y, 1, 1, ink)
			}
			if r == '▄' || r == '█' {
				c.fill(x, 2*y+1, 1, 1, ink)
			}
		}
	}
	return c
}
