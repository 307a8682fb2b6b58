package qr_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boombuler/barcode"
	library "github.com/boombuler/barcode/qr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/qr"
)

const uri = "otpauth://totp/Example%20Co:alice%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Co"

// texts are of every encoding, and of the smallest and the largest size.
var texts = []string{"1", "HELLO WORLD", "a", "\x00\xff", "日本", uri, strings.Repeat("x", 2331)}

// want returns the modules that a text has, true being dark, with the quiet zone.
func want(t testing.TB, text string) [][]bool {
	t.Helper()
	code, err := library.Encode(text, library.M, library.Auto)
	require.NoError(t, err)
	n := code.Bounds().Dx()
	m := grid(n + 8)
	for y := range n {
		for x := range n {
			r, _, _, _ := code.At(x, y).RGBA()
			m[y+4][x+4] = r == 0
		}
	}
	return m
}

func grid(side int) [][]bool {
	m := make([][]bool, side)
	for i := range m {
		m[i] = make([]bool, side)
	}
	return m
}

// fromPNG reads the modules of a black and white image.
func fromPNG(t testing.TB, data []byte, scale int) [][]bool {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	side := img.Bounds().Dx() / scale
	require.Equal(t, side*scale, img.Bounds().Dx())
	require.Equal(t, side*scale, img.Bounds().Dy())
	m := grid(side)
	paletted, ok := img.(*image.Paletted)
	require.True(t, ok)
	require.Equal(t, color.Palette{color.RGBA{255, 255, 255, 255}, color.RGBA{0, 0, 0, 255}}, paletted.Palette)
	for y := range side * scale {
		for x := range side * scale {
			dark := paletted.Pix[y*paletted.Stride+x] == 1
			if x%scale == 0 && y%scale == 0 {
				m[y/scale][x/scale] = dark
			} else if m[y/scale][x/scale] != dark {
				t.Fatalf("module %d,%d has two colors", x/scale, y/scale)
			}
		}
	}
	return m
}

var run = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// fromSVG reads the modules of a path.
func fromSVG(t testing.TB, svg string) [][]bool {
	t.Helper()
	var element struct {
		ViewBox string `xml:"viewBox,attr"`
		Shape   string `xml:"shape-rendering,attr"`
		Role    string `xml:"role,attr"`
		Title   string `xml:"title"`
		Rect    struct {
			Width string `xml:"width,attr"`
			Fill  string `xml:"fill,attr"`
		} `xml:"rect"`
		Path []struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	require.NoError(t, xml.Unmarshal([]byte(svg), &element))
	require.Equal(t, "crispEdges", element.Shape)
	require.Equal(t, "img", element.Role)
	require.NotEmpty(t, element.Title)
	require.Equal(t, "100%", element.Rect.Width)
	require.Equal(t, "#fff", element.Rect.Fill)
	require.Len(t, element.Path, 1)
	var side, other int
	_, err := fmt.Sscanf(element.ViewBox, "0 0 %d %d", &side, &other)
	require.NoError(t, err)
	require.Equal(t, side, other)

	d := element.Path[0].D
	require.Empty(t, run.ReplaceAllString(d, ""), "the path has other commands")
	m := grid(side)
	for _, match := range run.FindAllStringSubmatch(d, -1) {
		require.Equal(t, match[3], match[4])
		var n [3]int
		for i := range n {
			n[i], err = strconv.Atoi(match[i+1])
			require.NoError(t, err)
		}
		for x := n[0]; x < n[0]+n[2]; x++ {
			require.False(t, m[n[1]][x], "drawn twice")
			m[n[1]][x] = true
		}
	}
	return m
}

// fromTerminal reads the modules of half blocks.
func fromTerminal(t testing.TB, s string, inverse bool) [][]bool {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	side := len([]rune(lines[0]))
	require.Len(t, lines, (side+1)/2)
	m := grid(2 * len(lines))
	for i, line := range lines {
		runes := []rune(line)
		require.Len(t, runes, side)
		m[2*i], m[2*i+1] = make([]bool, side), make([]bool, side)
		for x, r := range runes {
			j := strings.IndexRune(" ▀▄█", r)
			require.GreaterOrEqual(t, j, 0)
			upper := r == '▀' || r == '█'
			lower := r == '▄' || r == '█'
			m[2*i][x], m[2*i+1][x] = upper == inverse, lower == inverse
		}
	}
	for _, dark := range m[side] { // the half line that is left over
		require.False(t, dark)
	}
	return m[:side]
}

// Every drawing shows the modules that the library computed, and four light ones
// around.
func TestDrawings(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		modules := want(t, text)
		for _, scale := range []int{1, 3} {
			data, err := qr.PNG(text, scale)
			require.NoError(t, err)
			require.Equal(t, modules, fromPNG(t, data, scale))
			require.EqualValues(t, 1, data[24], "bits a pixel")
		}
		svg, err := qr.SVG(text, "")
		require.NoError(t, err)
		require.Equal(t, modules, fromSVG(t, svg))
		for _, inverse := range []bool{false, true} {
			s, err := qr.Terminal(text, inverse)
			require.NoError(t, err)
			require.Equal(t, modules, fromTerminal(t, s, inverse))
		}
	}
}

// S-83: neither errors nor what a page or its reader shows as text tell the secret.
func TestNothingTellsTheText(t *testing.T) {
	t.Parallel()
	svg, err := qr.SVG(uri, `Scan "this" <now> & here`)
	require.NoError(t, err)
	require.Contains(t, svg, "<title>Scan &#34;this&#34; &lt;now&gt; &amp; here</title>")
	plain, err := qr.SVG(uri, "")
	require.NoError(t, err)
	require.Contains(t, plain, "<title>QR code</title>")
	for _, s := range []string{svg, plain} {
		for _, part := range []string{"otpauth", "GEZD", "alice", "Example"} {
			require.NotContains(t, s, part)
		}
	}

	long := strings.Repeat("GEZD", 2332/4+1)
	for _, draw := range []func(string) error{
		func(s string) error { _, err := qr.PNG(s, 8); return err },
		func(s string) error { _, err := qr.SVG(s, ""); return err },
		func(s string) error { _, err := qr.Terminal(s, false); return err },
	} {
		require.EqualError(t, draw(""), "qr: text is empty")
		require.EqualError(t, draw(long), "qr: text has 2336 bytes, must have at most 2331")
	}
	for _, scale := range []int{-1, 0, 21} {
		data, err := qr.PNG(uri, scale)
		require.EqualError(t, err, "qr: scale is "+strconv.Itoa(scale)+", must be 1 to 20")
		require.Nil(t, data)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	alone, err := qr.PNG(uri, 2)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				data, err := qr.PNG(uri, 2)
				assert.True(t, err == nil && bytes.Equal(alone, data))
			}
		})
	}
	wg.Wait()
}

// Whatever the text is, nothing panics and the drawings agree.
func FuzzDrawings(f *testing.F) {
	for _, s := range texts[:6] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := qr.PNG(text, 1)
		if err != nil {
			if text != "" && len(text) <= 2331 {
				t.Fatal("refused")
			}
			return
		}
		svg, err := qr.SVG(text, text)
		require.NoError(t, err)
		s, err := qr.Terminal(text, false)
		require.NoError(t, err)
		m := fromPNG(t, data, 1)
		require.Equal(t, m, fromTerminal(t, s, false))
		if path := svg[strings.LastIndex(svg, "<path"):]; len(run.FindAllString(path, -1)) == 0 {
			t.Fatal("empty path")
		}
	})
}

// BenchmarkRatio times the drawings in turns with what the library does for the same:
// encoding alone, and encoding, scaling to the same size, and writing a PNG, as
// pquerna/otp's Key.Image is used. Target: at most 1 x-library for PNG.
func BenchmarkRatio(b *testing.B) {
	const scale = 8
	subjects := []struct {
		name string
		draw func() error
	}{
		{"encode", func() error { _, err := library.Encode(uri, library.M, library.Auto); return err }},
		{"library", func() error {
			code, err := library.Encode(uri, library.M, library.Auto)
			if err != nil {
				return err
			}
			side := code.Bounds().Dx() * scale
			if code, err = barcode.Scale(code, side, side); err != nil {
				return err
			}
			return png.Encode(io.Discard, code)
		}},
		{"png", func() error { _, err := qr.PNG(uri, scale); return err }},
		{"svg", func() error { _, err := qr.SVG(uri, ""); return err }},
		{"terminal", func() error { _, err := qr.Terminal(uri, false); return err }},
	}
	times := make([][]time.Duration, len(subjects))
	for b.Loop() {
		for i, s := range subjects {
			start := time.Now()
			if err := s.draw(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	median := make([]float64, len(subjects))
	for i := range times {
		slices.Sort(times[i])
		median[i] = float64(times[i][len(times[i])/2])
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
	b.ReportMetric(median[0], "ns/encode")
	b.ReportMetric(median[1], "ns/library-png")
	b.ReportMetric(median[2], "ns/png")
	b.ReportMetric(median[2]/median[1], "png-x-library")
	for i := 2; i < len(subjects); i++ {
		b.ReportMetric(median[i]/median[0], subjects[i].name+"-x-encode")
	}
}

func Benchmark(b *testing.B) {
	for _, bb := range []struct {
		name string
		draw func() error
	}{
		{"library encode", func() error { _, err := library.Encode(uri, library.M, library.Auto); return err }},
		{"PNG", func() error { _, err := qr.PNG(uri, 8); return err }},
		{"SVG", func() error { _, err := qr.SVG(uri, ""); return err }},
		{"Terminal", func() error { _, err := qr.Terminal(uri, false); return err }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.draw(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
