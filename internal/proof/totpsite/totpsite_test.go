// Package totpsite walks through examples/totp as a person does: with Chromium, with
// zbarimg as the camera of a phone and oathtool as the app on it.
package totpsite_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
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
	site := serve(t)
	ctx := browser.Start(t)

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
	submit := func(field, typed, next string) {
		t.Helper()
		css := chromedp.CSS(field)
		do(next, chromedp.SendKeys(css, typed+"\r"), wait(next))
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
	uri := output(t, zbarimg, "--quiet", "--raw", file)
	key, err := otpauth.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, "Example", key.Issuer)
	require.Equal(t, "ann@example.com", key.Account)
	require.Equal(t, otpauth.Grouped(key.Secret), text("#key"))
	code := func(at string) string {
		return output(t, oathtool, "--totp", "--base32", "--now", at, otpauth.EncodeSecret(key.Secret))
	}

	// The code of the step before, so that the next one need not be waited for. It must still be in the
	// window when it is submitted again, six pages later.
	submit("#code", "000 000", "not valid")
	require.Eventually(t, func() bool { return time.Now().Unix()%30 < 15 }, 20*time.Second, 100*time.Millisecond)
	before := code("now - 30 seconds")
	submit("#code", before[:3]+" "+before[3:], "app is on")
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
	submit("#code", before, "was used")
	now := code("now")
	submit("#code", now, "10 recovery codes")
	login()
	submit("#code", now, "was used")
	submit("#code", "123", "not valid")
	submit("#code", strings.ToLower(list[1]), "9 recovery codes")
	login()
	submit("#code", list[1], "not valid")
	submit("#code", list[3], "8 recovery codes")
}

// wait waits until the page shows a text.
func wait(text string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(`//body[contains(., "` + text + `")]`)
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
