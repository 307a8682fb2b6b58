package sender

import (
	"context"
	"errors"
	"slices"
	"time"

	"otp.example/otp"
)

const retryPause = 500 * time.Millisecond // before the second try; doubled before each further one

// Retry returns a Sender that tries s up to tries times, with the same message, as long
// as it answers [ErrTryLater]: any other refusal would be repeated, and after an unknown
// outcome the message may be on its way. Of an otp.Failover none of its senders may have
// had an unknown outcome, and one has to say ErrTryLater. It waits half a second before the
// second try and twice as long before each further one, and gives up at once if the next try
// would be too late for ctx or m.TTL. Each try is told what is left of that. The error is that
// of the last try.
//
// A service, and an otp.Queue, give each call 10 seconds, so more than 5 tries are of no use.
func Retry(s otp.Sender, tries int) otp.Sender {
	return otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
		begin := time.Now()
		for try, pause := 1, retryPause; ; try, pause = try+1, 2*pause {
			receipt, err := s.Send(ctx, left(m, time.Since(begin)))
			if try >= tries || !errors.Is(err, ErrTryLater) || errors.Is(err, otp.ErrUndeliverable) || !refused(err) {
				return receipt, err
			}
			if !inTime(ctx, m, begin, time.Now().Add(pause)) || !sleep(ctx, pause) {
				return receipt, err
			}
		}
	})
}

// refused reports whether no provider has the message: a failover's error wraps those of all
// its senders, and each of them has to say so.
func refused(err error) bool {
	if d, ok := errors.AsType[*otp.DeliveryError](err); ok {
		return !slices.ContainsFunc(d.Errs, func(e error) bool { return !refused(e) })
	}
	return errors.Is(err, otp.ErrNotAccepted)
}
