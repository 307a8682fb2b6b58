package provider

import (
	"encoding/json"
	"net/http"
)

// A Verdict says what became of a message.
type Verdict int

// The zero Verdict leaves it to the status: 2xx is accepted if there is a message ID, 429
// is for later, other 4xx are refused, and the rest is unknown. 408 and 409 are among the
// rest: the one may come from a proxy that has passed the request on, the other speaks of
// an earlier request.
const (
	ByStatus Verdict = iota
	Accepted
	TryLater
	Refused
	Undeliverable
	Unknown
)

func byStatus(status int) Verdict {
	switch {
	case status == http.StatusTooManyRequests:
		return TryLater
	case status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusConflict:
		return Refused
	}
	return Unknown
}

// An Outcome is what a provider's answer says in its own words.
type Outcome struct {
	ID      string // of the message
	Code    string // of the error; shown if it is a short word or number
	Verdict Verdict
}

// An Answer is a pointer to what JSON is decoded into.
type Answer interface {
	Outcome() Outcome
}

// A Scalar is a JSON string, number or boolean in an answer whose types are not certain.
type Scalar string

// UnmarshalJSON takes anything, so that an odd answer can still be read. What is no
// scalar is empty.
func (s *Scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	if len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null" {
		return nil
	}
	if b[0] != '"' {
		*s = Scalar(b)
		return nil
	}
	return json.Unmarshal(b, (*string)(s))
}
