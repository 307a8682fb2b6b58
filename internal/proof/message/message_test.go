package message_test

import (
	"context"
	_ "embed"
	"fmt"
	"html"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/browser"
	"otp.example/otp/message"
)

var languages = []string{"en", "de", "fr", "es", "pt", "ar", "hi", "zh"}

func render(t *testing.T, c otp.Channel, lang, code, binding string) otp.Content {
	t.Helper()
	r, err := message.New(message.Config{App: "Example", Host: "example.com"})
	require.NoError(t, err)
	out, err := r.Render(t.Context(), otp.Message{
		Channel: c, Usage: otp.Payment, Locale: lang, Code: otp.NewSecret(code), Binding: binding, TTL: 10 * time.Minute,
	})
	require.NoError(t, err)
	return out
}

// facts.js evaluates to what a page looks like.
//
//go:embed facts.js
var facts string

type pageFacts struct {
	Lang, Dir, Direction, Title string
	Width, ScrollWidth          int64
	Background                  float64 // relative luminance
	Headings, Loads             int     // Loads counts what a page fetches or leads to
	Texts                       []struct {
		Text     string
		Contrast float64
	}
	Code struct {
		Text        string
		Size        float64 // of its letters, in pixels
		Lines       int
		LeftToRight bool
	}
}

// S-80: an e-mail is read by everybody: at every width, in both themes, in every
// language, with the longest code and a binding that has no place to break.
func TestEmail(t *testing.T) {
	ctx := browser.Start(t)
	for _, lang := range languages {
		for _, c := range []struct{ name, code, binding string }{
			{"usual", "49381726", "120.00 EUR – Bob's Café"},
			{"long", "7K3M9QX2A0VWZJ4H", "DE89370400440532013000DE89370400440532013000DE89370400440532013000"},
		} {
			content := render(t, otp.Email, lang, c.code, c.binding)
			for _, l := range looks {
				name := lang + "-" + c.name
				t.Run(name+"-"+l.name, func(t *testing.T) {
					f := show[pageFacts](ctx, t, l, name, content.HTML, facts)
					assert.Equal(t, lang, f.Lang)
					assert.Equal(t, content.Subject, f.Title)
					assert.Equal(t, lang == "ar", f.Dir == "rtl")
					assert.Equal(t, f.Dir, f.Direction)
					assert.Equal(t, l.width, f.Width, "a zoomed page is one that did not fit")
					assert.LessOrEqual(t, f.ScrollWidth, f.Width, "it scrolls sideways")
					assert.Equal(t, l.theme == "dark", f.Background < 0.2, "background has luminance %v", f.Background)
					assert.Equal(t, 1, f.Headings)
					assert.Zero(t, f.Loads, "images, links, scripts or fetched files")
					// WCAG 2.2, success criterion 1.4.3.
					assert.GreaterOrEqual(t, len(f.Texts), 6)
					for _, text := range f.Texts {
						assert.GreaterOrEqual(t, text.Contrast, 4.5, text.Text)
					}
					assert.Equal(t, c.code, f.Code.Text)
					assert.GreaterOrEqual(t, f.Code.Size, 24.0)
					assert.Equal(t, 1, f.Code.Lines, "the code is broken into lines")
					assert.True(t, f.Code.LeftToRight)
				})
			}
		}
	}
}

// The check of facts can fail.
func TestFactsTell(t *testing.T) {
	ctx := browser.Start(t)
	f := show[pageFacts](ctx, t, looks[1], "bad", `<html><head><meta name="viewport" content="width=device-width"></head><body dir="rtl">
		<img src="data:,"><a href="https://example.com">x</a><div style="width: 500px">wide</div>
		<p class="code" style="width: 5em; overflow-wrap: anywhere">493817 26354</p><p style="color: #aaa">pale</p></body></html>`, facts)
	assert.Greater(t, f.ScrollWidth, int64(360))
	assert.Greater(t, f.Background, 0.8)
	assert.Equal(t, 2, f.Loads)
	assert.Zero(t, f.Headings)
	assert.Equal(t, 2, f.Code.Lines)
	assert.False(t, f.Code.LeftToRight)
	pale := f.Texts[len(f.Texts)-1]
	assert.Equal(t, "pale", pale.Text)
	assert.InDelta(t, 2.32, pale.Contrast, 0.01)
}

// plain is a page that shows a text as a phone does: each paragraph in the direction of
// its first letter.
func plain(text string) string {
	return `<!DOCTYPE html><meta name="viewport" content="width=device-width"><body style="font-size: 16px"><div id="text" style="white-space: pre-wrap; unicode-bidi: plaintext">` +
		html.EscapeString(text) + `</div></body>`
}

// places returns, for each character of a part of the text, the left end of it, from the
// first line that it stands in.
func places(ctx context.Context, t *testing.T, name, text, part string) []float64 {
	t.Helper()
	lefts := show[[]float64](ctx, t, looks[2], name, plain(text), fmt.Sprintf(`(() => {
		const node = document.getElementById("text").firstChild, part = %q, at = node.data.indexOf(part), lefts = [];
		for (let i = at; at >= 0 && i < at + part.length; i++) {
			const r = document.createRange();
			r.setStart(node, i);
			r.setEnd(node, i + 1);
			lefts.push(r.getBoundingClientRect().left);
		}
		return lefts;
	})()`, part))
	require.Len(t, lefts, len([]rune(part)), "%q is not in the text", part)
	return lefts
}

// S-80: in a text from right to left, codes and what is confirmed read from left to
// right, and nothing pulls the words around it to the other side.
func TestRightToLeft(t *testing.T) {
	ctx := browser.Start(t)
	const hebrew, binding = "שלום 5", "120.00 EUR to Bob (Café) #5"
	for _, code := range []string{"493817", "7K3M9QX2A0", "QX2A07K3M9"} {
		t.Run(code, func(t *testing.T) {
			text := render(t, otp.SMS, "ar", code, binding).Text
			name := "sms-ar-" + code
			assert.IsIncreasing(t, places(ctx, t, name, text, code))
			assert.IsIncreasing(t, places(ctx, t, name, text, binding))
			assert.IsIncreasing(t, places(ctx, t, name, text, "@example.com #"+code))
			assert.IsDecreasing(t, places(ctx, t, name, text, "رمزك"))
			before, after := places(ctx, t, name, text, "يؤكد"), places(ctx, t, name, text, "صالح")
			inside := places(ctx, t, name, text, binding)
			assert.Greater(t, before[len(before)-1], inside[len(inside)-1])
			assert.Less(t, after[0], inside[0])
		})
	}
	t.Run("Hebrew in English", func(t *testing.T) {
		text := render(t, otp.SMS, "en", "493817", hebrew).Text
		assert.IsIncreasing(t, places(ctx, t, "sms-he", text, "493817"))
		valid, inside := places(ctx, t, "sms-he", text, "It is valid for 10 minutes"), places(ctx, t, "sms-he", text, hebrew)
		assert.IsIncreasing(t, valid)
		assert.IsDecreasing(t, inside)
		assert.Greater(t, valid[0], inside[0])
	})
	t.Run("without marks it would not", func(t *testing.T) {
		inside := places(ctx, t, "sms-unmarked", "يؤكد هذا الرمز: 120.00 EUR to Bob (Café) #5. صالح", binding)
		assert.False(t, increasing(inside))
	})
}

func increasing(v []float64) bool {
	for i := range v[1:] {
		if v[i] >= v[i+1] {
			return false
		}
	}
	return true
}

// Who copies a code by a double click gets the code and nothing that cannot be seen:
// Verify would refuse it. That is why codes stand without direction marks.
func TestCopiedCode(t *testing.T) {
	ctx := browser.Start(t)
	const code = "7K3M9QX2A0"
	for _, lang := range languages {
		t.Run(lang, func(t *testing.T) {
			assert.Equal(t, code, doubleClick(ctx, t, "copy-"+lang, render(t, otp.SMS, lang, code, "1 EUR").Text, code))
		})
	}
	t.Run("with marks it would not", func(t *testing.T) {
		assert.NotEqual(t, code, doubleClick(ctx, t, "copy-marked", "رمزك: \u2068"+code+"\u2069. صالح", code))
	})
}

// doubleClick returns what is selected by it.
func doubleClick(ctx context.Context, t *testing.T, name, text, word string) string {
	t.Helper()
	lefts := places(ctx, t, name, text, word)
	top, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`document.getElementById("text").getBoundingClientRect().top`))
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.MouseClickXY(lefts[5]+2, top+8, chromedp.ClickCount(2))))
	selected, err := chromedp.Run(ctx, chromedp.Evaluate[string](`getSelection().toString()`))
	require.NoError(t, err)
	return selected
}
