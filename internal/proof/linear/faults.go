package linear

import "time"

// A fault is what goes wrong in a history.
type fault struct {
	name   string
	server bool // it needs a server, which a target may not have

	deadline time.Duration // of each call; zero means patience
	skew     bool          // whether the clocks of the processes differ

	// inject does it while the clients run. Nil means that there is nothing to do.
	inject func(r *run) error

	// bites counts what it did to the history. A fault that never bites proves nothing.
	bites func(h *history) int
}

const (
	// patience is more than any call takes while something works.
	patience = 20 * time.Second

	// pause is how long a server or a client hangs.
	pause = 600 * time.Millisecond

	// cutMost is how many connections are broken.
	cutMost = 40
)

var faults = []fault{
	{name: "none", bites: func(h *history) int { return len(h.ops) }},
	{
		name: "server killed", server: true, bites: (*history).unanswered,
		inject: func(r *run) error {
			if !r.reached(20 + r.random.below(50)) {
				return nil
			}
			r.killed = clock()
			r.target.Server.Kill()
			return r.target.Server.Start()
		},
	},
	{
		// The proxy has read the reply, so what was asked for has been done, and only the
		// client does not know.
		name: "replies dropped", server: true, bites: (*history).effective,
		inject: func(r *run) error {
			r.reached(10)
			r.proxy.replies.left.Store(cutMost)
			return nil
		},
	},
	{
		name: "requests dropped", server: true, bites: (*history).unanswered,
		inject: func(r *run) error {
			r.reached(10)
			r.proxy.requests.left.Store(cutMost)
			return nil
		},
	},
	{
		// What its clients have given up waiting for is done when the server goes on.
		name: "server paused", server: true, deadline: pause / 2, bites: (*history).unanswered,
		inject: func(r *run) error {
			if r.reached(20 + r.random.below(50)) {
				r.target.Server.Pause()
				wait(pause)
				r.target.Server.Resume()
			}
			return nil
		},
	},
	{
		name: "clients killed", bites: (*history).unreturned,
		inject: func(r *run) error {
			for i, p := range r.pick(1 + r.random.below(2)) {
				if r.reached(20 + 20*i + r.random.below(20)) {
					p.kill()
				}
			}
			return nil
		},
	},
	{
		// Whatever a client has locked stays locked.
		name: "clients paused", bites: (*history).long,
		inject: func(r *run) error {
			for _, p := range r.pick(2) {
				if r.reached(20 + r.random.below(40)) {
					p.pause()
					wait(pause)
					p.resume()
				}
			}
			return nil
		},
	},
	{
		// Two clocks are up to twice maxSkew apart.
		name: "clocks differ", skew: true, bites: (*history).disordered,
	},
}

func wait(d time.Duration) { <-time.After(d) }

// faultsOf returns what can go wrong with a target.
func faultsOf(t *Target) (kinds []*fault) {
	for i := range faults {
		if t.Server != nil || !faults[i].server {
			kinds = append(kinds, &faults[i])
		}
	}
	return kinds
}
