// Package message_test looks at messages as people see them: in a browser, at the width
// of a phone and of a desk, light and dark, from left to right and from right to left.
//
// With OTP_PICTURES=dir it writes what it saw there, for people who can read it.
package message_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A look is how somebody looks at a page.
type look struct {
	name  string
	width int64
	theme string
}

var looks = []look{
	{"phone-light", 360, "light"},
	{"phone-dark", 360, "dark"},
	{"desk-light", 1280, "light"},
	{"desk-dark", 1280, "dark"},
}

// show opens a page and returns what an expression of JavaScript is in it.
func show[T any](ctx context.Context, t *testing.T, l look, name, html, expression string) T {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx,
		chromedp.EmulateViewport(l.width, 640, func(m *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
			m.Mobile = l.width < 600
		}),
		chromedp.Navigate("about:blank"),
	), name)
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}},
	})
	require.NoError(t, err)
	frames, err := chromedp.Call(ctx, page.GetFrameTree, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, page.SetDocumentContent, page.SetDocumentContentParams{FrameID: frames.FrameTree.Frame.ID, HTML: html})
	require.NoError(t, err)
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err, name)
	if dir := os.Getenv("OTP_PICTURES"); dir != "" {
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+l.name+".png"), picture, 0o600))
	}
	return result
}
