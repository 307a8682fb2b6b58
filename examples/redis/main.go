// Redis is a service of two processes that share one Redis. A code that is asked for in one
// is verified in the other, guesses are counted together, and a limit that one process has
// charged refuses in the other. In the end the audit stream tells what happened.
//
//	REDIS_URL=redis://… go run ./examples/redis
//	go run ./examples/redis -demo # starts a Redis for itself, if there is no REDIS_URL
//
// Its keys begin with otp-example: and go by themselves. This file tells the story;
// service.go is what each process of the service does.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"sync"
)

// asService in the environment makes the program a process of the service.
const asService = "OTP_EXAMPLE_SERVICE"

func main() {
	demo := flag.Bool("demo", false, "start a Redis, if there is no REDIS_URL")
	flag.Parse()
	var err error
	if os.Getenv(asService) != "" {
		err = serve(context.Background(), os.Stdin, os.Stdout)
	} else {
		err = run(context.Background(), os.Stdout, *demo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "redis:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, demo bool) error {
	say := log.New(out, "", 0).Printf
	url := os.Getenv("REDIS_URL")
	if url == "" && !demo {
		return errors.New("REDIS_URL is empty; -demo starts a Redis")
	}
	if url == "" {
		server, stop, err := startRedis()
		if err != nil {
			return err
		}
		defer stop()
		url = server
	}
	// All processes have the same key. A real one comes from where secrets are kept.
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	for name, value := range map[string]string{"OTP_KEY": base64.StdEncoding.EncodeToString(secret), "REDIS_URL": url} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	first, err := start(ctx)
	if err != nil {
		return err
	}
	defer first.stop()
	second, err := start(ctx)
	if err != nil {
		return err
	}
	defer second.stop()

	// Ann is a new one in each run: her limits last for longer than the program.
	ann := question{Subject: "ann-" + rand.Text(), To: number()}
	say("Ann asks the first process for a code, and gives it to the second.")
	sent, err := first.call(ann)
	if err != nil {
		return err
	}
	say("  first:  sent %d digits", len(sent.Code))
	wrong := question{Handle: sent.Handle, Code: another(sent.Code)}
	for range 2 {
		guessed, err := first.call(wrong)
		if err != nil {
			return err
		}
		say("  first:  a wrong code. Refused, %d attempts left.", guessed.Left)
	}
	guessed, err := second.call(wrong)
	if err != nil {
		return err
	}
	say("  second: a wrong code. Refused, %d attempts left.", guessed.Left)

	// Both processes get the right code ten times, all at once.
	right, err := race(question{Handle: sent.Handle, Code: sent.Code}, first, second)
	if err != nil {
		return err
	}
	say("  both:   the right code, twenty times at once. Accepted %d time(s).", right)
	if right != 1 {
		return errors.New("a code must be right once")
	}

	say("\nAnn wants the next code at once, from the second process.")
	limited, err := second.call(ann)
	if err != nil {
		return err
	}
	if limited.Wait == 0 {
		return errors.New("the limit was not shared")
	}
	say("  second: not yet, in %d seconds.", limited.Wait)

	// A process writes what happened in its own time, and the rest before it ends.
	first.stop()
	second.stop()
	say("\nWhat the audit stream tells of Ann, without her name or number:")
	return tell(ctx, say, url, ann.Subject)
}

// race gives the same answer to all processes at once, ten times each, and returns how
// often it was right.
func race(q question, all ...*process) (right int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() {
			for range 10 {
				a, e := p.call(q)
				mu.Lock()
				err = errors.Join(err, e)
				if a.Subject != "" {
					right++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return right, err
}

// another returns a code that is wrong.
func another(code string) string {
	b := []byte(code)
	b[0] = '0' + (b[0]-'0'+1)%10
	return string(b)
}

// number makes up a phone number, so that nobody's limits are in the way of the next run.
func number() string {
	b := make([]byte, 7)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	return "+1555" + string(b)
}

// A process is this program again, as a part of the service.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(ctx context.Context) (*process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stderr = append(os.Environ(), asService+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd: cmd, in: in, out: json.NewDecoder(out)}, cmd.Start()
}

// call stands for an HTTP request.
func (p *process) call(q question) (a answer, err error) {
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return a, err
	}
	if err := p.out.Decode(&a); err != nil {
		return a, err
	}
	if a.Fault != "" {
		return a, errors.New(a.Fault)
	}
	return a, nil
}

func (p *process) stop() {
	_ = p.in.Close() // it ends when there is nothing more to read
	_ = p.cmd.Wait() // and how does not matter any more
}
