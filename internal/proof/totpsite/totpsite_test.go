// Package totpsite walks through examples/totp as a person does: with Chromium, with
// zbarimg as the camera of a phone and oathtool as the app on it.
package totpsite_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/browser"
	"otp.example/otp/otpauth"
)

const root = "../../.."

// S-55 S-60 S-61 S-62 FM-18 FM-30: an app is enrolled from the picture alone, the code of the enrollment
// and those that were used are refused, and paper replaces a lost phone once.
func TestSite(t *testing.T) {
	zbarimg, oathtool := program(t, "zbarimg"), program(t, "oathtool")
	ctx := browser.Start(t)
	// The site's clock is the real one: a machine that is busy may need longer for some pages than a code
	// is in the window.
	for range 5 {
		if visit(ctx, t, serve(t), zbarimg, oathtool) {
			return
		}
	}
	t.Fatal("the browser was too slow each time")
}

// visit walks through the site, or returns false if a code got too old on the way.
func visit(ctx context.Context, t *testing.T, site, zbarimg, oathtool string) bool {
	t.Helper()
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, steps...), what)
	}
	text := func(selector string) string {
		t.Helper()
		s, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
		require.NoError(t, err, selector)
		return s
	}
	// submit fills a field and sends its form by the key, and waits for the page after it.
	submit := func(field, typed string, next ...string) {
		t.Helper()
		_, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.id = "before"`))
		require.NoError(t, err)
		do(next[0], chromedp.SendKeys(chromedp.CSS(field), typed+"\r"), wait(next...))
	}
	// submitCode does so with the code of a time, and reports whether it was looked at while it was in
	// the window, which is its step and the next.
	submitCode := func(typed string, of time.Time, next string) bool {
		t.Helper()
		submit("#code", typed, next, "not valid")
		page := text("body")
		if strings.Contains(page, next) {
			return true
		}
		require.Greater(t, time.Now().Unix()/30, of.Unix()/30+1, page)
		return false
	}
	press := func(button, next string) {
		t.Helper()
		do(button, chromedp.Click(`//button[contains(., "`+button+`")]`), wait(next))
	}

	do("open", chromedp.Navigate(site))
	submit("#password", "wrong horse", "not valid")
	submit("#password", "correct horse", "Set up an authenticator app")

	// The phone sees the picture and nothing else.
	press("Set up an authenticator app", "Scan this")
	picture, err := chromedp.Run(ctx, chromedp.Screenshot(chromedp.CSS("svg")))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "qr.png")
	require.NoError(t, os.WriteFile(file, picture, 0o600))
	// QR codes alone: nothing in a picture that differs each time is to be taken for another kind.
	uri := output(t, zbarimg, "--quiet", "--raw", "--nodbus", "--set", "*.enable=0", "--set", "qrcode.enable=1", file)
	key, err := otpauth.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, "Example", key.Issuer)
	require.Equal(t, "ann@example.com", key.Account)
	require.Equal(t, otpauth.Grouped(key.Secret), text("#key"))
	code := func(at time.Time) string {
		return output(t, oathtool, "--totp", "--base32", "--now=@"+strconv.FormatInt(at.Unix(), 10), otpauth.EncodeSecret(key.Secret))
	}

	submit("#code", "000 000", "not valid")
	// The code of the step before, so that the next one need not be waited for. It must still be in the
	// window when it is submitted again, six pages later.
	require.Eventually(t, func() bool { return time.Now().Unix()%30 < 15 }, time.Minute, 100*time.Millisecond)
	earlier := time.Now().Add(-30 * time.Second)
	before := code(earlier)
	if !submitCode(before[:3]+" "+before[3:], earlier, "app is on") {
		return false
	}
	press("Make new recovery codes", "Each works once")
	list := strings.Fields(text("#codes"))
	require.Len(t, list, 20, "ten numbers and codes")

	login := func() {
		t.Helper()
		do("start", chromedp.Navigate(site), wait("Log out"))
		press("Log out", "Password")
		submit("#password", "correct horse", "Code of your authenticator app")
	}
	login()
	if !submitCode(before, earlier, "was used") {
		return false
	}
	at := time.Now()
	now := code(at)
	if !submitCode(now, at, "10 recovery codes") {
		return false
	}
	login()
	if !submitCode(now, at, "was used") {
		return false
	}
	submit("#code", "123", "not valid")
	submit("#code", strings.ToLower(list[1]), "9 recovery codes")
	login()
	submit("#code", list[1], "not valid")
	submit("#code", list[3], "8 recovery codes")
	return true
}

// wait waits until a page, other than one that is called before, shows one of some texts.
func wait(texts ...string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(`//body[not(@id="before")][contains(., "` + strings.Join(texts, `") or contains(., "`) + `")]`)
}

// serve starts the example and returns where it is.
func serve(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "totp")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./examples/totp")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), binary, "-addr", "localhost:0")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // it ends with the context of the test
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	site, _, found := strings.Cut(line, " ")
	require.True(t, found, line)
	return site
}

// program finds a program that scripts/setup installs.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("%s is not installed: this test proves nothing here", name)
		}
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
